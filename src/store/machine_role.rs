//! Where nothing says who we are, credentials can only come from the machine's own role, which is asked at an address
//! that only machines of a cloud have. Whether it answers is tried here, within a second: the stores' clients would try
//! for minutes.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Whether the machine has a role that can be asked for: the same address on AWS, Google Cloud and Azure.
pub(super) fn has_machine_role() -> bool {
    let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
    TcpStream::connect_timeout(&metadata, Duration::from_secs(1)).is_ok()
}
