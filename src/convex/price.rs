//! What Convex asks for what is read.

/// Dollars per byte beyond what a plan includes: database I/O, and egress. List prices of August 2026, United States.
const DOLLARS_PER_BYTE: f64 = (0.20 + 0.12) / 1e9;

/// What answers of so many bytes cost beyond what a plan of Convex includes, dollars: about, and only where the deployment is Convex's.
pub(crate) fn dollars(bytes: u64) -> f64 {
    bytes as f64 * DOLLARS_PER_BYTE
}
