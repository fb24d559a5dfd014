//! How much the first snapshot reads, before it does.
//!
//! No route of Convex counts documents. But ids are random, and a table's come in their order: where the last id of the first
//! page lies among all possible ones tells which share of the table the page is. With 1,024 ids that is right within some
//! percent. How long a document is, the first bytes of the largest tables tell.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    convex::{Client, Source, dollars},
    document::{TableRef, Timestamp, id_position},
    error::Result,
};

/// How long tables are counted. Those that are left are not in the estimate.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tables of which documents are read.
const MEASURED: usize = 16;
/// Bytes that are read of each.
const SAMPLE: u64 = 1 << 20;
/// How far the size of documents that were not read may be off. The first ones are no chance sample of what is in them: large and small
/// documents are mixed by their random ids, but a few very large ones may be missing.
const SIZE_LOW: f64 = 0.7;
const SIZE_HIGH: f64 = 1.6;
/// How far the speed of some small reads may be off for a long one.
const SPEED_LOW: f64 = 0.5;
const SPEED_HIGH: f64 = 3.0;
/// Documents of a page of a snapshot.
const PAGE: f64 = 1024.0;

/// About how much the first snapshot reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FirstSnapshot {
    /// Documents.
    pub documents: Range,
    /// Bytes of the answers, uncompressed: what Convex bills.
    pub bytes: Range,
    /// Seconds that the deployment needs to send them.
    pub seconds: Range,
    /// Dollars beyond what a plan of Convex includes, by list prices. Only of Convex's own cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dollars: Option<Range>,
    /// Tables that were counted.
    pub counted_tables: u64,
    /// Tables that are archived.
    pub tables: u64,
    /// Tables of which documents were read.
    pub measured_tables: u64,
}

/// A value that lies in between, probably.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// No less than this, probably.
    pub low: f64,
    /// No more than this, probably.
    pub high: f64,
}

impl Range {
    const NONE: Self = Self { low: 0.0, high: 0.0 };

    fn exactly(value: f64) -> Self {
        Self { low: value, high: value }
    }

    fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }
    }

    fn times(self, low: f64, high: f64) -> Self {
        Self { low: self.low * low, high: self.high * high }
    }
}

/// Tables, counted.
#[derive(Debug, Default)]
pub(super) struct CountedTables<'a> {
    pub(super) tables: Vec<CountedTable<'a>>,
}

/// A table, counted.
#[derive(Debug)]
pub(super) struct CountedTable<'a> {
    table: &'a TableRef,
    documents: Range,
}

impl CountedTables<'_> {
    /// Documents of all of them.
    pub(super) fn documents(&self) -> Range {
        self.tables.iter().fold(Range::NONE, |sum, of| sum.plus(of.documents))
    }
}

/// Counts tables at a moment, a small request for each, for up to a minute; what is not counted by then is left out. None of a server that knows
/// no selections.
///
/// # Errors
/// As the deployment says.
pub(super) async fn count_documents<'a>(
    client: &Client,
    tables: &'a BTreeSet<TableRef>,
    at: Timestamp,
) -> Result<Option<CountedTables<'a>>> {
    let end = Instant::now() + PATIENCE;
    let mut counted = CountedTables::default();
    for table in tables {
        if Instant::now() > end {
            break;
        }
        let Some(page) = client.ids(table, at, None).await? else { return Ok(None) };
        let last = page.ids.last().map(|(id, _)| id.as_str());
        let documents = documents(page.ids.len(), last, page.next.is_some());
        counted.tables.extend(documents.map(|documents| CountedTable { table, documents }));
    }
    Ok(Some(counted))
}

/// How long the documents of a table are.
struct MeasuredTable {
    /// Bytes of one, on average.
    mean: f64,
    /// Whether all of them were read.
    whole: bool,
}

/// Estimates what a first snapshot of these tables at this moment reads; it takes up to a minute, a small request for each table and
/// up to 16 MiB. None of a server that knows no selections.
///
/// # Errors
/// As the deployment says.
pub async fn estimate_first_snapshot(
    client: &Client,
    tables: &BTreeSet<TableRef>,
    at: Timestamp,
    is_cloud: bool,
) -> Result<Option<FirstSnapshot>> {
    let Some(counted) = count_documents(client, tables, at).await? else { return Ok(None) };
    let (documents, mut counted) = (counted.documents(), counted.tables);
    counted.sort_by_key(|table| Reverse(table.documents.high as u64));
    let (mut measured, mut read, mut took) = (Vec::new(), 0, Duration::ZERO);
    for of in counted.iter().take(MEASURED).filter(|of| of.documents.high > 0.0) {
        let Some(beginning) = client.beginning(of.table, at, SAMPLE).await? else { return Ok(None) };
        (read, took) = (read + beginning.bytes, took + beginning.took);
        // At least one begins on the first page of a table that has some.
        let documents = beginning.documents.max(1) as f64;
        measured
            .push(MeasuredTable { mean: beginning.bytes as f64 / documents, whole: documents >= of.documents.high });
    }
    let bytes = bytes(&counted, &measured);
    let speed = read as f64 / took.as_secs_f64().max(1e-3);
    let seconds = if read == 0 { Range::NONE } else { bytes.times(SPEED_LOW / speed, SPEED_HIGH / speed) };
    // Each page is a question, however little is on it.
    let pages = documents.high / PAGE + tables.len() as f64;
    let a_question = if measured.is_empty() { 0.0 } else { took.as_secs_f64() / measured.len() as f64 };
    let seconds = Range { high: seconds.high.max(pages * a_question), ..seconds };
    let price = |bytes: f64| dollars(bytes as u64);
    Ok(Some(FirstSnapshot {
        documents,
        bytes,
        seconds,
        dollars: is_cloud.then(|| Range { low: price(bytes.low), high: price(bytes.high) }),
        counted_tables: counted.len() as u64,
        tables: tables.len() as u64,
        measured_tables: measured.len() as u64,
    }))
}

/// How many documents a table has whose first page has so many, the last with this id; None, if that cannot be told.
fn documents(on_page: usize, last: Option<&str>, more: bool) -> Option<Range> {
    let on_page = on_page as f64;
    if !more {
        return Some(Range::exactly(on_page));
    }
    let position = last.and_then(id_position).filter(|position| *position > 0.0)?;
    Some(among(on_page, position))
}

/// How many random numbers there are whose k-th smallest is this: of n it lies at k in n + 1, give or take a share of one in the square
/// root of k. Twice that here.
fn among(k: f64, smallest: f64) -> Range {
    let (about, off) = ((k - 1.0) / smallest, 2.0 / k.sqrt());
    Range { low: (about / (1.0 + off)).max(k), high: (about * (1.0 + off)).max(k) }
}

/// `measured` are the first ones of `counted`.
fn bytes(counted: &[CountedTable<'_>], measured: &[MeasuredTable]) -> Range {
    let mean = measured.iter().map(|of| of.mean).sum::<f64>() / (measured.len().max(1) as f64);
    let of_table = |(i, of): (usize, &CountedTable<'_>)| match measured.get(i) {
        Some(MeasuredTable { mean, whole: true }) => of.documents.times(*mean, *mean),
        Some(MeasuredTable { mean, whole: false }) => of.documents.times(mean * SIZE_LOW, mean * SIZE_HIGH),
        // As small as a tenth of the others, or as large as three of them.
        None => of.documents.times(mean * 0.1, mean * 3.0),
    };
    counted.iter().enumerate().map(of_table).fold(Range::NONE, Range::plus)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_table_is_counted_by_where_its_first_ids_lie() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut inside, mut tried) = (0, 0);
        for n in [1_025, 2_000, 10_000, 100_000] {
            for _ in 0..20 {
                let mut positions: Vec<f64> = (0..n).map(|_| rng.random()).collect();
                positions.sort_by(f64::total_cmp);
                let Range { low, high } = among(1024.0, positions[1023]);
                tried += 1;
                inside += usize::from((low..=high).contains(&f64::from(n)));
            }
        }
        // Two standard deviations: 95 in 100.
        assert!(inside * 10 >= tried * 9, "{inside} of {tried}");
    }

    #[test]
    fn a_table_of_one_page_is_counted_exactly_and_strange_ids_tell_nothing() {
        assert_eq!(documents(7, Some("j5700221pceb603t7je2hkqn0s8jrtmp"), false), Some(Range::exactly(7.0)));
        assert_eq!(documents(0, None, false), Some(Range::exactly(0.0)));
        assert_eq!(documents(1024, Some("none"), true), None);
    }
}
