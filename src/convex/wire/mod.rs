//! What every protocol of a deployment shares: where it is and what opens it, requests that are made until they are answered,
//! refusals that say what to do, and bodies of any size.

pub(super) mod access;
mod address;
pub(super) mod body;
pub(super) mod http;
pub(super) mod keyed_client;
pub(super) mod keys;
mod protocol;
pub(super) mod refusal;
pub(super) mod retry;
