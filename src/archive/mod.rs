//! The archive at rest: the only truth.
