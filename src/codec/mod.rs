//! Documents ↔ rows. Pure, no I/O.
//!
//! # The law
//! **Typed columns + `_nulls` + `_rescued` give back exactly the value that the deployment sent, for every value that
//! Convex can hold.** By bits: NaN payloads, −0.0, `1` against `1.0`, absent against null, at any depth, in lists of
//! structs, after any drift of types. The tests below hold it through real Parquet bytes.
//!
//! It knows no protocol: of the names that begin with `_` it reads `_id` and `_creationTime` and skips the others.
//!
//! `parse` reads text → `observe` notes shapes for a schema → `decode` fills the builders of `column`, what does not fit
//! goes through `rescued` → batches → Parquet → `encode` reads them back. `digest` proves that both ends have the same.

mod column;
mod decode;
mod digest;
mod encode;
mod json;
mod observe;
mod oddities;
mod parse;
mod pick;
mod rescued;
mod spelling;

pub use self::{
    decode::{TableDecoder, add_misfits, observe},
    digest::ContentSum,
    encode::RowReader,
    json::{parse_value, write_value},
    oddities::Oddities,
};
pub(crate) use self::{
    digest::kept_text,
    encode::field_id,
    json::write_string,
    pick::{conform, pick, weigh},
};

#[cfg(test)]
mod tests;
