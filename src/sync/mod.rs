//! The verb `sync`: deployment → archive.
