//! Free ports on loopback. Who listens on them does not live here.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

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
