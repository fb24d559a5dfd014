//! What histories came upon: a net that catches nothing is none.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

/// How often what happened, by its name.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<&'static str, u64>);

impl Told {
    pub(crate) fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// 1, if there was any.
    pub(crate) fn add_any(&mut self, what: &'static str, times: u64) {
        self.add(what, times.min(1));
    }

    pub(crate) fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        other.0.into_iter().for_each(|(what, times)| self.add(what, times));
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<_> = self.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
        f.write_str(&said.join(", "))
    }
}
