//! The verb `check`.

mod args;
mod machine;
mod report;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use convex_archiver::{
    Error, ErrorKind, MemoryBudget, Monitor, NoMonitor, Result, Selection, Timestamp,
    archive::{Archive, Head, Location},
    check::{
        Check, CheckResult, DeploymentChecks, FirstSnapshot, Subject, check_deployment, check_store,
        estimate_first_snapshot,
    },
    convex::{Client, ClientOptions},
};

pub(super) use self::{
    args::CheckArgs,
    report::{Found, text},
};
use super::{
    config::{self, DeploymentArgs},
    outcome::Outcome,
    signals,
    units::time,
};

/// What is looked at.
pub(super) struct Wanted<'a> {
    pub(super) archive: &'a str,
    pub(super) deployment: &'a DeploymentArgs,
    /// None: what the archive has, or everything.
    pub(super) selection: Option<Selection>,
    pub(super) read_only: bool,
}

pub(super) async fn run(args: &CheckArgs) -> Result<Outcome> {
    if let Some(folder) = &args.temp_dir {
        config::use_temp_dir(folder)?;
    }
    let is_selected = !args.include.is_empty() || !args.exclude.is_empty();
    let wanted = Wanted {
        archive: &args.archive.url,
        deployment: &args.deployment,
        selection: is_selected.then(|| Selection::new(&args.include, &args.exclude)).transpose()?,
        read_only: args.read_only,
    };
    let interrupted = signals::interrupted()?;
    let found = tokio::select! {
        biased;
        () = interrupted => return Ok(Outcome::Interrupted),
        found = look(&wanted) => found?,
    };
    report::print(&found, args.json)?;
    Ok(found.outcome())
}

/// Looks at everything.
///
/// # Errors
/// Usage, if the archive's URL names no place.
pub(super) async fn look(wanted: &Wanted<'_>) -> Result<Found> {
    let url = Location::url_of(wanted.archive)?;
    let (mut checks, opened) = archive(wanted, &url).await;
    let head = opened.as_ref();
    let archived = head.and_then(|head| head.latest()).map(|latest| latest.selection.clone());
    let selection = wanted.selection.clone().or(archived).unwrap_or_default();
    let (found, client) = deployment(wanted, selection, &mut checks).await;
    let identity = found.as_ref().and_then(|found| found.identity.as_ref());
    if let (Some(head), Some(identity)) = (head, identity)
        && !head.deployment().is_same(identity)
    {
        let told = format!("the archive at {url} belongs to the deployment {}, not to {identity}", head.deployment());
        let fix = "give another --archive, or the key of that deployment; if the deployment has moved, use sync \
            --accept-deployment";
        checks.push(Check::wrong(Subject::Archive, told, fix));
    }
    let mut first_snapshot = None;
    if let (Some(found), Some(client)) = (&found, &client)
        && let Some(at) = found.at
        && head.is_none_or(|head| head.progress().delta.is_none())
    {
        match estimate(client, found, at).await {
            Ok(Some(estimate)) => {
                checks.push(report::first_snapshot(&estimate));
                first_snapshot = Some(estimate);
            }
            Ok(None) => checks.push(Check::unknown(
                Subject::FirstSnapshot,
                "this server does not report how many documents there are",
            )),
            Err(error) => {
                checks.push(Check::unknown(Subject::FirstSnapshot, format!("it cannot be estimated: {error}")));
            }
        }
    }
    checks.push(machine::temporary_space());
    checks.push(machine::duckdb());
    if let Some(folder) = folder(&url) {
        checks.push(machine::archive_space(folder, first_snapshot.as_ref().map(|found| found.bytes.high)));
    }
    checks.sort_by_key(|check| check.subject);
    Ok(Found { archive: url, deployment: identity.and_then(|identity| identity.name.clone()), checks, first_snapshot })
}

async fn estimate(client: &Client, found: &DeploymentChecks, at: Timestamp) -> Result<Option<FirstSnapshot>> {
    let is_cloud = found.identity.as_ref().is_some_and(|identity| identity.origin.ends_with(".convex.cloud"));
    estimate_first_snapshot(client, &found.tables, at, is_cloud).await
}

/// The deployment, and who asks it.
async fn deployment(
    wanted: &Wanted<'_>,
    selection: Selection,
    checks: &mut Vec<Check>,
) -> (Option<DeploymentChecks>, Option<Client>) {
    let monitor = || Arc::new(NoMonitor) as Arc<dyn Monitor>;
    let client = async {
        let said = wanted.deployment.access()?;
        let access = said.resolve(monitor()).await?;
        let options = ClientOptions::default().selection(selection).budget(MemoryBudget::default());
        let told = format!("{} opens {}", said.key_origin(), access.identity());
        Ok::<_, Error>((Client::new(access, options, monitor())?, told))
    };
    match client.await {
        Ok((client, told)) => {
            checks.push(Check::good(Subject::Key, told));
            let mut found = check_deployment(&client).await;
            checks.append(&mut found.checks);
            (Some(found), Some(client))
        }
        Err(error) => {
            let fix = "create a deploy key in the deployment's settings and set CONVEX_DEPLOY_KEY to it, or put it \
                into a file for --deploy-key-file";
            checks.push(Check::failed(Subject::Key, &error, fix));
            (None, None)
        }
    }
}

/// The archive's place and what lies there.
async fn archive(wanted: &Wanted<'_>, url: &str) -> (Vec<Check>, Option<Head>) {
    let settings = config::settings();
    let mut checks = Vec::new();
    let folder = folder(url);
    // What is made only for the probe goes again.
    let new: Vec<_> = folder
        .iter()
        .flat_map(|folder| folder.ancestors())
        .take_while(|path| !path.exists())
        .map(PathBuf::from)
        .collect();
    let opened = if wanted.read_only {
        Location::look(wanted.archive, &settings)
    } else {
        Location::create(wanted.archive, &settings)
    };
    let location = match opened {
        Ok(location) => location,
        Err(error) => {
            let fix = "the README's section \"Environment variables\" lists the credentials of each store";
            return (vec![Check::failed(Subject::Archive, &error, fix)], None);
        }
    };
    let probed = check_store(&location, !wanted.read_only).await;
    let can_read = probed.iter().all(|check| check.subject != Subject::StoreRead || check.result != CheckResult::Wrong);
    checks.extend(probed);
    if !wanted.read_only {
        let runs = folder.iter().map(|folder| folder.join("runs"));
        // Only where it is empty.
        runs.chain(new).for_each(|made| drop(std::fs::remove_dir(made)));
    }
    if !can_read {
        return (checks, None);
    }
    let head = match head(&location).await {
        Ok(head) => {
            let told = match head.covered_through() {
                Some(at) => {
                    format!("{} is an archive of {}, covered through {}", location.url(), head.deployment(), time(at))
                }
                None => format!("{} is an archive of {}, without documents yet", location.url(), head.deployment()),
            };
            checks.push(Check::good(Subject::Archive, told));
            Some(head)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            checks.push(Check::good(
                Subject::Archive,
                format!("there is no archive at {} yet: the first sync creates it", location.url()),
            ));
            None
        }
        Err(error) => {
            let fix = "give another --archive; if this one is damaged, run `verify` and `repair`";
            checks.push(Check::failed(Subject::Archive, &error, fix));
            None
        }
    };
    (checks, head)
}

/// The folder, if the place is one.
fn folder(url: &str) -> Option<&Path> {
    (!url.contains("://")).then(|| Path::new(url))
}

async fn head(location: &Location) -> Result<Head> {
    Archive::open(Arc::clone(location.store()), location.url()).await?.head().await
}
