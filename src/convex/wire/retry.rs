//! Whether to make a failed request again, and when: a pure decision.
//!
//! Every request of this API reads, so all of them may be repeated. They are repeated with identical parameters: a
//! snapshot page that timed out goes on in the server, and only the same request finds its result (convex-backend,
//! `list_snapshot_table_iterator_cache`).

use std::time::Duration;

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait after the first failure; it doubles with each. Half of it is fixed, half is jitter.
    pub base: Duration,
    /// No wait is longer, unless the server asks for it (`Retry-After`).
    pub longest: Duration,
    /// From the first attempt of a request: no attempt begins later.
    pub budget: Duration,
    /// The budget as long as the deployment has never answered at all: a wrong host name should not take a quarter of an
    /// hour to be noticed.
    pub first_contact: Duration,
    /// How often a request is repeated after a 500, which means "unknown error", a bad argument among them.
    pub internal_errors: u32,
}

impl Default for RetryPolicy {
    /// 1 s doubling to 60 s, for 15 minutes: three of the server's own timeouts of 300 s; a minute at first contact.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            budget: Duration::from_secs(15 * 60),
            first_contact: Duration::from_secs(60),
            internal_errors: 3,
        }
    }
}

/// What became of the attempts of one request so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// Attempts made, the one that just failed included: at least 1.
    pub(super) attempts: u32,
    /// How many of them ended in a 500.
    pub(super) internal_errors: u32,
    /// Time since the first began.
    pub(super) elapsed: Duration,
    /// Whether the deployment has ever answered anything.
    pub(super) answered: bool,
}

/// How the last attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No answer, or one that broke off.
    Network,
    /// An answer with this status, and its `Retry-After`.
    Status(u16, Option<Duration>),
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Make the same request again after this time.
    Retry(Duration),
    /// Repeating it does not help, or not in time.
    GiveUp,
}

impl RetryPolicy {
    /// What to do after a failure. `jitter` is a random number from 0 to 1, so that many clients do not come back at
    /// the same moment.
    pub(super) fn decide(&self, tries: Tries, outcome: Outcome, jitter: f64) -> Decision {
        let asked = match outcome {
            Outcome::Network => None,
            Outcome::Status(500, _) if tries.internal_errors > self.internal_errors => return Decision::GiveUp,
            // 520 to 524 are Cloudflare's words for a deployment that does not answer it.
            Outcome::Status(408 | 421 | 425 | 429 | 500..=599, retry_after) => retry_after,
            Outcome::Status(..) => return Decision::GiveUp,
        };
        let doublings = tries.attempts.saturating_sub(1).min(20);
        let full = self.base.saturating_mul(1 << doublings).min(self.longest);
        let wait = full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)).max(asked.unwrap_or_default());
        let budget = if tries.answered { self.budget } else { self.first_contact };
        if tries.elapsed.saturating_add(wait) > budget { Decision::GiveUp } else { Decision::Retry(wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision::*, Outcome::*, *};

    fn tries(attempts: u32, elapsed: u64) -> Tries {
        Tries { attempts, internal_errors: 0, elapsed: Duration::from_secs(elapsed), answered: true }
    }

    #[test]
    fn retries_what_may_pass_and_stops_at_what_will_not() {
        let policy = RetryPolicy::default();
        for status in [408, 421, 425, 429, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 599] {
            assert_eq!(policy.decide(tries(1, 0), Status(status, None), 1.0), Retry(policy.base), "{status}");
        }
        assert_eq!(policy.decide(tries(1, 0), Network, 1.0), Retry(policy.base));
        for status in [200, 301, 400, 401, 403, 404, 405, 409, 410, 413, 422, 600] {
            assert_eq!(policy.decide(tries(1, 0), Status(status, None), 1.0), GiveUp, "{status}");
        }
    }

    #[test]
    fn waits_longer_each_time_up_to_the_longest_and_never_beyond_the_budget() {
        let policy = RetryPolicy::default();
        let s = Duration::from_secs_f64;
        // attempts, elapsed seconds, jitter, decision
        let table = [
            (1, 0, 0.0, Retry(s(0.5))),
            (1, 0, 1.0, Retry(s(1.0))),
            (2, 1, 1.0, Retry(s(2.0))),
            (4, 9, 0.5, Retry(s(6.0))),
            (7, 100, 1.0, Retry(s(60.0))),
            (4_000_000_000, 100, 0.0, Retry(s(30.0))),
            (8, 840, 1.0, Retry(s(60.0))),
            (8, 841, 1.0, GiveUp),
            (1, 901, 0.0, GiveUp),
        ];
        for (attempts, elapsed, jitter, decision) in table {
            assert_eq!(policy.decide(tries(attempts, elapsed), Network, jitter), decision, "{attempts} {elapsed}");
        }
        let unknown = Tries { answered: false, ..tries(2, 59) };
        assert_eq!(policy.decide(unknown, Network, 1.0), GiveUp);
    }

    #[test]
    fn waits_as_long_as_the_server_asks_unless_the_budget_ends_before() {
        let policy = RetryPolicy::default();
        let asks = |seconds| Status(429, Some(Duration::from_secs(seconds)));
        assert_eq!(policy.decide(tries(1, 0), asks(90), 1.0), Retry(Duration::from_secs(90)));
        assert_eq!(policy.decide(tries(1, 0), asks(0), 1.0), Retry(policy.base));
        assert_eq!(policy.decide(tries(1, 0), asks(901), 1.0), GiveUp);
    }

    #[test]
    fn repeats_a_500_three_times_whatever_else_failed_between() {
        let policy = RetryPolicy::default();
        for (internal_errors, retries) in [(1, true), (3, true), (4, false)] {
            let tries = Tries { internal_errors, ..tries(9, 10) };
            assert_eq!(policy.decide(tries, Status(500, None), 0.0) != GiveUp, retries, "{internal_errors}");
        }
    }
}
