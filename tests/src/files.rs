//! A file for those who fetch, over plain HTTP.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Serves a jar at an address of this machine until the test ends; returns its URI. For pods, the address is that of the node's host.
///
/// # Errors
/// If it cannot be read, or nobody can listen there.
pub fn serve_jar(jar: &Path, address: Ipv4Addr) -> Result<String> {
    let body = std::fs::read(jar)?;
    let listener = TcpListener::bind((address, 0))?;
    let uri = format!("http://{}/jobs.jar", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            // Whoever goes away meanwhile tries again.
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&body);
        }
    });
    Ok(uri)
}
