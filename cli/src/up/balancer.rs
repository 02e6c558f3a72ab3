//! One address in front of several webhook processes, as a Service is in a cluster: plain TCP, connection by
//! connection, past backends that refuse. It does not look into what it carries.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Carries connections until it is dropped.
#[derive(Debug)]
pub(super) struct Balancer {
    task: JoinHandle<()>,
}

impl Balancer {
    /// Listens on a loopback port and spreads connections over the backends.
    pub(super) async fn start(port: u16, backends: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self {
            task: tokio::spawn(accept(listener, backends.into())),
        })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, backends: Arc<[SocketAddr]>) {
    let next = Arc::new(AtomicUsize::new(0));
    // Owned here, so that connections end with the balancer.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error here is that of one connection (reset before it was accepted): the next one may be fine.
                if let Ok((client, _)) = accepted {
                    let start = next.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(carry(client, start, Arc::clone(&backends)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Connects to the backend whose turn it is, or to the first one after it that takes the connection.
async fn carry(mut client: TcpStream, start: usize, backends: Arc<[SocketAddr]>) {
    let turn = backends
        .iter()
        .cycle()
        .skip(start % backends.len().max(1))
        .take(backends.len());
    for backend in turn {
        if let Ok(mut server) = TcpStream::connect(backend).await {
            // Reviews are small and somebody waits for each.
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            // Whichever side breaks off, the other one sees it by the end of its connection.
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server that greets each connection with its name.
    async fn greeter(name: u8) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(&[name]).await.unwrap();
            }
        });
        (address, task)
    }

    async fn ask(port: u16) -> Option<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
        answer.expect("an answer or an end within 5 s").ok()
    }

    #[tokio::test]
    async fn spreads_connections_and_goes_round_the_dead() {
        let (first, first_task) = greeter(b'1').await;
        let (second, second_task) = greeter(b'2').await;
        let port = sluice_cluster::free_loopback_port().unwrap();
        let balancer = Balancer::start(port, vec![first, second]).await.unwrap();
        let mut seen = [ask(port).await, ask(port).await];
        seen.sort_unstable();
        assert_eq!(seen, [Some(b'1'), Some(b'2')]);

        first_task.abort();
        assert!(first_task.await.unwrap_err().is_cancelled());
        for _ in 0..4 {
            assert_eq!(ask(port).await, Some(b'2'));
        }

        second_task.abort();
        assert!(second_task.await.unwrap_err().is_cancelled());
        assert_eq!(
            ask(port).await,
            None,
            "with nobody behind it, the connection just ends"
        );
        drop(balancer);
    }
}
