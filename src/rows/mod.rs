//! Rows of many files, in order, in bounded memory; and what a table was at a moment.
//!
//! From the files that a head names ([`files`]) batches are read ahead ([`ahead`]) on a thread of their own ([`feed`]),
//! ordered by `_id` and `_ts` ([`mod@sort`], [`run`], [`merge`]: what does not fit in memory goes to temporary files), and
//! handed on without what newer rows have overridden ([`sorted`]). On that stand [`State`](state::State), the documents of
//! a table at a [`Moment`](moment::Moment), and the generations of a table whose name was used again.
//!
//! Guarantee: whatever the size of a table and the number of its files, what is held stays within the shares of the
//! [`MemoryBudget`](crate::MemoryBudget).

pub(crate) mod ahead;
pub(crate) mod common;
pub(crate) mod compare;
pub(crate) mod damage;
pub(crate) mod feed;
pub(crate) mod files;
pub(crate) mod generations;
pub(crate) mod keyed;
pub(crate) mod merge;
pub(crate) mod moment;
pub(crate) mod run;
pub(crate) mod sort;
pub(crate) mod sorted;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod walk;
