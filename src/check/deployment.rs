//! Whether a deployment can be archived.

use std::collections::BTreeSet;

use crate::{
    convex::{Client, Shapes, Source},
    document::{TableRef, Timestamp},
    error::{Error, ErrorKind},
    identity::DeploymentIdentity,
    selection::Selection,
};

use super::{Check, Subject};

/// A clock that is wrong by less is right: `Date` has whole seconds, and an answer takes a while.
const CLOCKS_DIFFER: i64 = 30_000_000_000;
/// S3 refuses signatures whose time differs by more.
const SIGNATURES_DIFFER: i64 = 15 * 60 * 1_000_000_000;
/// Names that are shown.
const SHOWN: usize = 8;

/// What was found of a deployment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeploymentChecks {
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
    /// Who it is, if it said so.
    pub identity: Option<DeploymentIdentity>,
    /// The tables that are archived, if it can be read.
    pub tables: BTreeSet<TableRef>,
    /// The newest moment that it can show, if it can be read.
    pub at: Option<Timestamp>,
}

/// Looks at a deployment: with about eight small requests, none of which reads a whole document of a table.
pub async fn check_deployment(client: &Client) -> DeploymentChecks {
    let mut found = DeploymentChecks { checks: Vec::new(), identity: None, tables: BTreeSet::new(), at: None };
    let read = match client.identity().await {
        Ok(identity) => {
            let read = read(client).await;
            found.identity = Some(identity);
            read
        }
        Err(error) => Err(error),
    };
    let answers = found.identity.as_ref().map(|identity| format!("{identity} answers"));
    let answers = answers.map(|told| Check::good(Subject::Deployment, told));
    let shapes = match read {
        Ok((shapes, at)) => {
            let told = "the key can read tables, snapshots and changes; the plan includes streaming export";
            found.checks.extend(answers);
            found.checks.push(Check::good(Subject::Permission, told));
            found.at = Some(at);
            let selection = client.selection();
            found.tables = shapes.listed.iter().filter(|table| selection.contains(table)).cloned().collect();
            Some((shapes, at))
        }
        Err(error) if error.kind() == ErrorKind::Access => {
            let fix = "create a deploy key with `deployment:data:view` in the dashboard; streaming export needs \
                Convex's Professional plan, or a self-hosted server \
                       with CONVEX_ENABLE_STREAMING_EXPORT=true";
            found.checks.extend(answers);
            found.checks.push(Check::failed(Subject::Permission, &error, fix));
            None
        }
        Err(error) => {
            let fix = "check the URL and the network from this machine; to use a proxy, set HTTPS_PROXY";
            found.checks.push(Check::failed(Subject::Deployment, &error, fix));
            None
        }
    };
    found.checks.extend(clock(client));
    if let Some((shapes, at)) = shapes {
        found.checks.extend(tables(&shapes, &client.selection()));
        found.checks.push(noticing(client, at, &found.tables).await);
    }
    found
}

/// Asks each of the three routes that an archive is made by. The tables, and the newest moment.
async fn read(client: &Client) -> Result<(Shapes, Timestamp), Error> {
    let shapes = client.shapes().await?;
    let at = client.newest_moment().await?;
    client.page(&client.deltas_after(at).await?).await?;
    Ok((shapes, at))
}

/// Which tables there are, and which of them are selected.
fn tables(shapes: &Shapes, selection: &Selection) -> Vec<Check> {
    let (selected, excluded): (Vec<_>, Vec<_>) = shapes.listed.iter().partition(|table| selection.contains(table));
    let mut checks = Vec::new();
    let of = |tables: &[&TableRef]| match tables.len() {
        1 => format!("1 table: {}", names(tables)),
        n => format!("{n} tables: {}", names(tables)),
    };
    if shapes.listed.is_empty() {
        checks.push(Check::note(
            Subject::Tables,
            "the deployment has no tables yet; the first sync creates an archive without documents",
        ));
    } else if selected.is_empty() {
        let told = format!("the selection matches no table; the deployment has {}", of(&excluded));
        checks.push(Check::wrong(Subject::Tables, told, "correct --include and --exclude"));
    } else if excluded.is_empty() {
        checks.push(Check::good(Subject::Tables, of(&selected)));
    } else {
        checks.push(Check::good(Subject::Tables, format!("{}. Not archived: {}", of(&selected), of(&excluded))));
    }
    for pattern in selection.fitting_none_of(shapes.listed.iter()) {
        let told = format!("no table matches `{}`", pattern.text);
        checks.push(
            Check::note(Subject::Tables, told).with_fix("correct the pattern, unless the table will be created later"),
        );
    }
    if !shapes.complete {
        let told = "the deployment does not list its tables, so a dropped table is not detected";
        checks.push(Check::note(Subject::Tables, told).with_fix("upgrade the server"));
    }
    checks.extend(shapes.findings.iter().map(|finding| Check::note(Subject::Tables, finding.to_string())));
    checks
}

fn names(tables: &[&TableRef]) -> String {
    let shown: Vec<_> = tables.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = tables.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Whether the server has somebody who watches what the change log does not tell.
async fn noticing(client: &Client, at: Timestamp, tables: &BTreeSet<TableRef>) -> Check {
    let begun = match client.sentinel() {
        Some(sentinel) => sentinel.begin(at, tables).await,
        None => Ok(None),
    };
    match begun {
        Ok(Some(_)) => {
            Check::good(Subject::Noticing, "the server has Data Sync: each run detects imports and replaced tables")
        }
        Ok(None) => Check::note(
            Subject::Noticing,
            "the server has no Data Sync: documents that a failed import leaves behind are detected only when all ids \
             are compared (sync --audit-every 24h)",
        ),
        Err(error) => {
            Check::note(Subject::Noticing, format!("cannot determine whether the server has Data Sync: {error}"))
        }
    }
}

/// How far this machine's clock is wrong.
fn clock(client: &Client) -> Option<Check> {
    let ahead = client.clock_offset()?;
    let seconds = ahead.abs() / 1_000_000_000;
    let told = match ahead {
        _ if ahead.abs() < CLOCKS_DIFFER => return Some(Check::good(Subject::Clock, "this machine's clock is right")),
        1.. => format!("this machine's clock is {seconds} seconds behind the deployment's"),
        _ => format!("this machine's clock is {seconds} seconds ahead of the deployment's"),
    };
    let fix = "let NTP set the clock";
    Some(if ahead.abs() < SIGNATURES_DIFFER {
        Check::note(Subject::Clock, told + ", so ages in reports are wrong by that much").with_fix(fix)
    } else {
        Check::wrong(Subject::Clock, told + ", so stores refuse its signatures", fix)
    })
}
