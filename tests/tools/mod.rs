//! What the tests with real stores and real readers share: a Python with the packages, an S3 server, processes with an
//! environment of their own, and a deployment whose archive lies at an URL.
//!
//! Nothing has to be set up before `cargo test`: the packages of `requirements.txt` are installed once, under `target`.

pub(crate) mod expected;
pub(crate) mod moto;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod rclone;
pub(crate) mod world;
