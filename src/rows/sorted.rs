//! Rows of many files as one sorted sequence, made on a thread of its own.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::ObjectStore;

use super::{
    ahead::read_ahead,
    damage::Damage,
    feed::{Feed, Outlet},
    files::Part,
    keyed::{KeyedBatch, PickedRows},
    merge::{Input, Keep},
    sort::{Limits, Sorter},
};
use crate::{
    data::WantedRows,
    error::{Error, Result},
    schema::{OwnColumn, TableSchema, arrow_schema},
};

/// What is read where no document is wanted.
pub(crate) const KEYS: [OwnColumn; 4] = [OwnColumn::Id, OwnColumn::Ts, OwnColumn::Tombstone, OwnColumn::Base];

/// Their names, for [`WantedRows`].
pub(crate) fn key_columns() -> Vec<String> {
    KEYS.map(|key| key.name().to_owned()).to_vec()
}

/// The columns of the newest schema; only the keys, if `keys`.
pub(crate) fn columns(schema: &TableSchema, keys: bool) -> Result<SchemaRef> {
    let all = arrow_schema(schema);
    if !keys {
        return Ok(all);
    }
    let mut places: Vec<_> = KEYS.iter().filter_map(|key| all.index_of(key.name()).ok()).collect();
    // They come in the file's order.
    places.sort_unstable();
    all.project(&places).map(Arc::new).map_err(|e| Error::internal("a table lacks keys").with_source(e))
}

/// Which files are read, and what is made of them.
pub(crate) struct Plan {
    /// Files whose `_id`s ascend, and from one file to the next.
    pub(crate) in_order: Vec<(Part, WantedRows)>,
    /// The others; the later ones count more.
    pub(crate) unsorted: Vec<(Part, WantedRows)>,
    /// The columns of all rows, of the newest schema.
    pub(crate) columns: SchemaRef,
    pub(crate) keep: Keep,
    /// Whether rows that are tombstones are wanted.
    pub(crate) tombstones: bool,
    pub(crate) limits: Limits,
    /// Where rows that cannot be read are listed; they are left out. Without it damage is an error.
    pub(crate) damage: Option<Damage>,
}

/// The rows by `_id`, then `_ts`.
pub(crate) fn sorted(store: &Arc<dyn ObjectStore>, plan: Plan) -> Result<Feed<PickedRows>> {
    let store = Arc::clone(store);
    let unsorted = read_ahead(Arc::clone(&store), plan.unsorted, plan.damage.clone())?;
    let sorter = Sorter::new(plan.columns, plan.keep, plan.limits);
    Feed::start(move |_, outlet| {
        let Some(sorter) = fill(sorter, unsorted, outlet)? else { return Ok(()) };
        // Not before: each file that is read takes 100 KiB a column, and of a wide table two would be much.
        let in_order = read_ahead(store, plan.in_order, plan.damage)?;
        hand_on(Some(Input::Files(in_order)), sorter, plan.tombstones, outlet)
    })
}

/// Takes all batches; None, if nobody wants them any more.
fn fill(mut sorter: Sorter, mut batches: Feed<RecordBatch>, outlet: &Outlet<PickedRows>) -> Result<Option<Sorter>> {
    while let Some(batch) = batches.next_blocking()? {
        if outlet.is_closed() {
            return Ok(None);
        }
        sorter.push(KeyedBatch::new(batch)?)?;
    }
    Ok(Some(sorter))
}

/// Hands on what was sorted.
pub(crate) fn hand_on(
    first: Option<Input>,
    sorter: Sorter,
    tombstones: bool,
    outlet: &Outlet<PickedRows>,
) -> Result<()> {
    let mut merge = sorter.merge(first)?;
    while let Some(mut picked) = merge.next()? {
        let PickedRows { sources, rows } = &mut picked;
        if !tombstones {
            rows.retain(|(source, row)| !sources[*source].is_tombstone(*row));
        }
        if !rows.is_empty() && !outlet.send_blocking(picked) {
            return Ok(());
        }
    }
    Ok(())
}
