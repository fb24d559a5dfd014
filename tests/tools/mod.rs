//! What the tests with real stores and real readers share: a Python and a Node with the packages, servers and fakes of
//! stores, trouble between us and them, processes with an environment of their own, and a deployment whose archive lies at
//! an URL.
//!
//! Nothing has to be set up before `cargo test`: the packages of `requirements.txt` and `package.json` are installed once,
//! under `target`.

pub(crate) mod answers;
pub(crate) mod azurite;
pub(crate) mod expected;
pub(crate) mod gcs_fake;
pub(crate) mod moto;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod rclone;
pub(crate) mod s3rver;
pub(crate) mod trouble;
pub(crate) mod world;
