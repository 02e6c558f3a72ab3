//! TCP on loopback that can be told to misbehave: slow, reset, or with watches that stand still. Where its first backend takes no
//! connection the next one does, as behind a Service.

use crate::dice::Dice;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// How often a connection that stands still looks whether it may go on.
const LOOK: Duration = Duration::from_millis(50);

/// Carries connections until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    rules: Arc<Rules>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Rules {
    backends: Vec<u16>,
    /// Connections so far.
    carried: AtomicU64,
    /// Milliseconds that each piece is held up, each way.
    delay: AtomicU64,
    /// Raised to end all connections.
    resets: watch::Sender<u64>,
    began: Instant,
    /// From when until when (milliseconds since `began`) what servers say is held back.
    still: (AtomicU64, AtomicU64),
    /// Of how many of a hundred connections.
    percent: AtomicU64,
}

impl Rules {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether what the server says on this connection is held back now.
    fn stands_still(&self, number: u64, spoke: &AtomicU64) -> bool {
        let until = self.still.1.load(Ordering::Relaxed);
        self.now() < until
            && spoke.load(Ordering::Relaxed) < self.still.0.load(Ordering::Relaxed)
            && Dice::new(until, number).percent(self.percent.load(Ordering::Relaxed))
    }
}

impl Proxy {
    /// Listens on a port and carries to the first of these that takes a connection.
    pub async fn start(port: u16, backends: Vec<u16>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self::on(listener, backends))
    }

    /// The same on a port that is held already, so that nobody else takes it meanwhile.
    pub fn on(listener: TcpListener, backends: Vec<u16>) -> Self {
        let rules = Arc::new(Rules {
            backends,
            carried: AtomicU64::new(0),
            delay: AtomicU64::new(0),
            resets: watch::Sender::new(0),
            began: Instant::now(),
            still: (AtomicU64::new(0), AtomicU64::new(0)),
            percent: AtomicU64::new(100),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&rules)));
        Self { rules, task }
    }

    /// Ends every connection.
    pub fn reset(&self) {
        self.rules.resets.send_modify(|count| *count += 1);
    }

    /// From now on each piece takes this much longer.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or_default();
        self.rules.delay.store(delay, Ordering::Relaxed);
    }

    /// For so long nothing comes from the server on so many of a hundred connections on which the client stays silent: on watches. A
    /// connection on which the client says something goes on, and so do new ones. Some only: as the API server has a watch cache for
    /// each resource, and one of them may be behind while others are not.
    pub fn still(&self, percent: u64, time: Duration) {
        let now = self.rules.now();
        let until = now + u64::try_from(time.as_millis()).unwrap_or_default();
        self.rules.percent.store(percent, Ordering::Relaxed);
        self.rules.still.0.store(now, Ordering::Relaxed);
        self.rules.still.1.fetch_max(until, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, rules: Arc<Rules>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(carry(client, Arc::clone(&rules)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(client: TcpStream, rules: Arc<Rules>) {
    let mut resets = rules.resets.subscribe();
    resets.mark_unchanged();
    let number = rules.carried.fetch_add(1, Ordering::Relaxed);
    for backend in &rules.backends {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, *backend)).await else {
            continue;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let spoke = AtomicU64::new(rules.now());
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            // One that ends ends both: nobody here half-closes.
            () = ask(from_client, to_server, &rules, &spoke) => {}
            () = answer(number, from_server, to_client, &rules, &spoke) => {}
            _ = resets.changed() => {}
        }
        return;
    }
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: &Rules, spoke: &AtomicU64) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        spoke.store(rules.now(), Ordering::Relaxed);
        hold_up(rules).await;
        if to
            .write_all(buffer.get(..length).unwrap_or_default())
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn answer(
    number: u64,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rules: &Rules,
    spoke: &AtomicU64,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        while rules.stands_still(number, spoke) {
            sleep(LOOK).await;
        }
        hold_up(rules).await;
        if to
            .write_all(buffer.get(..length).unwrap_or_default())
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn hold_up(rules: &Rules) {
    let delay = rules.delay.load(Ordering::Relaxed);
    if delay > 0 {
        sleep(Duration::from_millis(delay)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    // A request of `w` is a watch: it says something now and then again, unasked.
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        stream.write_all(&byte).await.unwrap();
                        if byte == *b"w" {
                            while stream.write_all(b"!").await.is_ok() {
                                sleep(Duration::from_millis(10)).await;
                            }
                        }
                    }
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn watches_stand_still_while_requests_go_on_and_a_reset_ends_both() {
        let port = sluice_cluster::free_loopback_port().unwrap();
        let proxy = Proxy::start(port, vec![echo().await]).await.unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let mut watch = connect().await.unwrap();
        let mut plain = connect().await.unwrap();
        watch.write_all(b"w").await.unwrap();
        let mut two = [0; 2];
        watch.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"w!");

        sleep(Duration::from_millis(5)).await;
        proxy.still(100, Duration::from_secs(30));
        // What was on its way is drained, then nothing comes.
        let drain = async {
            let mut one = [0];
            while let Ok(done) =
                tokio::time::timeout(Duration::from_millis(300), watch.read_exact(&mut one)).await
            {
                done.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), drain)
            .await
            .unwrap();
        let mut one = [0];
        plain.write_all(b"x").await.unwrap();
        plain.read_exact(&mut one).await.unwrap();
        assert_eq!(&one, b"x");

        proxy.reset();
        assert!(plain.read_exact(&mut one).await.is_err());
    }
}
