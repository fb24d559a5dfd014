//! What the tests with real stores, readers and clients share: two Pythons and a Node with the packages, servers and fakes of
//! stores, a fake of Convex's importer, trouble between us and them, processes with an environment of their own, and a
//! deployment whose archive lies at an URL.
//!
//! Nothing has to be set up before `cargo test`: the packages of `requirements.txt`, its siblings and `package.json` are installed
//! once, under `target`.

pub(crate) mod answers;
pub(crate) mod azurite;
pub(crate) mod expected;
pub(crate) mod gcs_fake;
pub(crate) mod import_fake;
pub(crate) mod moto;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod rclone;
pub(crate) mod s3rver;
pub(crate) mod trouble;
pub(crate) mod world;
