//! The body of a request. Data Sync is strict where the older routes let a selection fall through.

use std::collections::BTreeMap;

use axum::{Json, body::Bytes};
use serde::{Deserialize, de::DeserializeOwned};

use crate::server::{
    refusal::Refusal,
    selection::{Columns, Level, RequestedSelection},
};

/// The body of `/api/v1/data/sync`. Other names are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct DataSyncArgs {
    pub(super) cursor: Option<String>,
    pub(super) selection: Option<Selection>,
}

/// The body of `/api/data_sync_cursor_from_deltas`.
#[derive(Debug, Deserialize)]
pub(super) struct ConvertArgs {
    pub(super) cursor: i64,
    pub(super) selection: Option<Selection>,
}

/// By component; `_other` is required on every level.
#[derive(Debug, Deserialize)]
pub(super) struct Selection {
    #[serde(rename = "_other")]
    other: Inclusion,
    #[serde(flatten)]
    components: BTreeMap<String, ComponentSelection>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ComponentSelection {
    Excluded(Exclusion),
    Tables(Tables),
}

#[derive(Debug, Deserialize)]
struct Tables {
    #[serde(rename = "_other")]
    other: Inclusion,
    #[serde(flatten)]
    tables: BTreeMap<String, TableSelection>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TableSelection {
    Excluded(Exclusion),
    Columns(SelectedColumns),
}

#[derive(Debug, Deserialize)]
struct SelectedColumns {
    #[serde(rename = "_other")]
    other: Inclusion,
    #[serde(flatten)]
    columns: BTreeMap<String, Inclusion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Inclusion {
    #[serde(alias = "excl")]
    Excluded,
    #[serde(alias = "incl")]
    Included,
}

/// A whole component or table can be left out by a word, not taken in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Exclusion {
    #[serde(alias = "excl")]
    Excluded,
}

/// Reads a body as the real server's framework, which is ours too, does.
///
/// # Errors
/// `BadJsonBody`, in the framework's words.
pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let parsed = Json::<T>::from_bytes(body);
    parsed.map(|Json(args)| args).map_err(|rejection| Refusal::bad_request("BadJsonBody", rejection.body_text()))
}

impl Selection {
    /// What is asked for; everything, where nothing is said.
    ///
    /// # Errors
    /// `InvalidDataSyncSelection`, for a name that no table or component can have, and for a table without its `_id`.
    pub(super) fn requested(selection: Option<Self>) -> Result<RequestedSelection, Refusal> {
        let Some(selection) = selection else { return Ok(RequestedSelection::Everything) };
        let named = selection.components.into_iter().map(|(component, of)| {
            component.split('/').filter(|_| !component.is_empty()).try_for_each(check_name)?;
            let tables = match of {
                ComponentSelection::Excluded(Exclusion::Excluded) => None,
                ComponentSelection::Tables(tables) => Some(tables.level()?),
            };
            Ok((component, tables))
        });
        let named = named.collect::<Result<_, Refusal>>()?;
        Ok(RequestedSelection::Tree(Level::new(named, selection.other == Inclusion::Included)))
    }
}

impl Tables {
    fn level(self) -> Result<Level<Columns>, Refusal> {
        let named = self.tables.into_iter().map(|(table, of)| {
            check_name(&table)?;
            let columns = match of {
                TableSelection::Excluded(Exclusion::Excluded) => None,
                TableSelection::Columns(columns) => Some(columns.columns()?),
            };
            Ok((table, columns))
        });
        Ok(Level::new(named.collect::<Result<_, Refusal>>()?, self.other == Inclusion::Included))
    }
}

impl SelectedColumns {
    fn columns(self) -> Result<Columns, Refusal> {
        let included = |inclusion: Inclusion| inclusion == Inclusion::Included;
        if !included(*self.columns.get("_id").unwrap_or(&self.other)) {
            return Err(invalid("`_id` must be included in the column selection"));
        }
        let named = self.columns.into_iter().map(|(name, inclusion)| (name, included(inclusion))).collect();
        Ok(Columns::new(named, included(self.other)))
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if let Some(odd) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
        return Err(invalid(&format!(
            "Identifier {name} has invalid character '{odd}': Identifiers can only contain alphanumeric characters or \
             underscores"
        )));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name.len() > 64 {
        return Err(invalid(&format!("{name} is no identifier")));
    }
    Ok(())
}

fn invalid(why: &str) -> Refusal {
    Refusal::bad_request("InvalidDataSyncSelection", format!("Invalid selection: {why}"))
}
