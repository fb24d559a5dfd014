//! The same HTTP API from our side.
