//! Ports on loopback: finding a free one, and asking whoever listens on one whether it is well.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ClusterError;

/// Below Linux's ephemeral range (32768 and up), so that no outgoing connection takes the port of a component that is
/// being restarted.
const PORTS: Range<u16> = 20_000..32_000;
const TRIES: u32 = 200;

/// A TCP port on 127.0.0.1 on which nothing listens now.
///
/// It is not reserved: whoever starts a server on it must be ready to try again with another one.
///
/// # Errors
/// [`ClusterError::NoFreePort`] if none was found.
pub fn free_loopback_port() -> Result<u16, ClusterError> {
    (0..TRIES)
        .map(|_| rand::random_range(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(ClusterError::NoFreePort { tried: TRIES })
}

/// Asks a plain HTTP server on 127.0.0.1 for a path such as `/readyz`. One request by hand: not worth a client.
///
/// # Errors
/// What it said, or why it could not be asked, as text for messages. Whoever calls sets the deadline.
pub async fn probe_http(port: u16, path: &str) -> Result<(), String> {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask.await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(format!("{status}: {}", body.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with this text.
    async fn once(answer: &'static str) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn a_probe_tells_well_from_unwell_with_its_reason() {
        let well = once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(probe_http(well, "/readyz").await, Ok(()));
        let unwell = once("HTTP/1.1 503 Service Unavailable\r\n\r\ncaches: not synced\n").await;
        assert_eq!(
            probe_http(unwell, "/readyz").await,
            Err("HTTP/1.1 503 Service Unavailable: caches: not synced".to_owned())
        );
        assert!(
            probe_http(free_loopback_port().unwrap(), "/")
                .await
                .is_err()
        );
    }
}
