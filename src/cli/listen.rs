//! What the verbs that answer requests have in common: address, key, sizes of pages.

use std::net::{IpAddr, SocketAddr};

use convex_archiver::{Error, Result};
use tokio::net::TcpListener;

/// An address and a port; not those of a real local deployment.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:3217".to_owned())?;
    if matches!(address.port(), 3210 | 3211) {
        return Err(
            "3210 and 3211 are the ports of a real local deployment, and a sync meant for one must not reach the \
             other; choose another port"
                .to_owned(),
        );
    }
    Ok(address)
}

/// What a deploy key can be: a client refuses any other before it asks.
pub(crate) fn key(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("write a key without white space or control characters, such as simulated|key".to_owned());
    }
    Ok(text.to_owned())
}

/// How much a page has at most.
pub(crate) fn page(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| "write a whole number, 1 or more".to_owned())
}

/// Listens, and tells where.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| Error::usage(format!("cannot listen on {address}: choose another --listen")).with_source(e))?;
    let address = listener
        .local_addr()
        .map_err(|e| Error::resource("cannot determine the address of the listener").with_source(e))?;
    Ok((listener, address))
}

/// Where a listener is reached from this machine.
pub(crate) struct ListenerUrl {
    pub(crate) url: String,
    /// What a sync has to say so that it sends the key there.
    pub(crate) flags: &'static str,
}

impl ListenerUrl {
    pub(crate) fn at(address: SocketAddr) -> Self {
        // Whoever asks from this machine cannot connect to "any address".
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        let flags = if ip.is_loopback() { "" } else { " --allow-http" };
        Self { url: format!("http://{}", SocketAddr::new(ip, address.port())), flags }
    }
}
