//! [`Oddities`]: documents beyond what Convex allows.

/// Documents that are not quite what Convex documents, and were taken all the same: one of them must not stop a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// With a field beside `_id` and `_creationTime` that begins with `_` and is unknown. It is not kept: a later server may add
    /// such to what it sends, and no document of a user can have one.
    pub unknown_fields: u64,
    /// With more levels than 16, or more fields at the top than 1,024.
    pub beyond_limits: u64,
}

impl Oddities {
    /// The sums of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            unknown_fields: self.unknown_fields + other.unknown_fields,
            beyond_limits: self.beyond_limits + other.beyond_limits,
        }
    }
}
