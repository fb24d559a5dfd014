//! The deployment and the archive of a sync, before anything is archived.

use std::sync::Arc;

use convex_archiver::{
    Error, ErrorKind, Monitor, Result, Selection, Timestamp,
    archive::{Archive, Head, Location, Settings},
    convex::{Client, ClientOptions, Source},
    sync::{SyncOptions, refuse_empty_selection},
};

use super::{
    super::{config, units::counted},
    args::SyncArgs,
    record::RunRecord,
};

/// What a sync is done with.
pub(super) struct Connected {
    pub(super) client: Arc<Client>,
    pub(super) archive: Archive,
    /// With the selection that holds.
    pub(super) options: SyncOptions,
}

/// The deployment, and the archive; it is made if there is none.
pub(super) async fn connect(
    args: &SyncArgs,
    options: SyncOptions,
    record: &RunRecord,
    monitor: impl Fn() -> Arc<dyn Monitor>,
) -> Result<Connected> {
    let access = args.deployment.access()?.resolve(monitor()).await?;
    record.deployment(access.identity());
    let settings = config::settings();
    let existing = existing(&args.archive.url, &settings, monitor()).await?;
    if let Some((location, _)) = &existing {
        record.opened(location);
    }
    let options = match &existing {
        Some((_, archive)) if args.include.is_empty() && args.exclude.is_empty() => {
            let head = archive.head().await?;
            options.selection(kept_selection(&head)).head(Some(head))
        }
        _ => options,
    };
    let asked = ClientOptions::default().selection(options.selection.clone()).budget(options.budget);
    let client = Arc::new(Client::new(access, asked, monitor())?);
    let (location, archive) = open_or_create(existing, &args.archive.url, &settings, &client, monitor()).await?;
    record.opened(&location);
    Ok(Connected { client, archive, options })
}

/// The archive; made if there is none, once the deployment has shown that the key opens it and that there is something to archive.
pub(in super::super) async fn open(url: &str, client: &Client, monitor: Arc<dyn Monitor>) -> Result<Archive> {
    let settings = config::settings();
    let existing = existing(url, &settings, Arc::clone(&monitor)).await?;
    let (_, archive) = open_or_create(existing, url, &settings, client, monitor).await?;
    Ok(archive)
}

type Opened = (Location, Archive);

/// The archive, if there is one.
pub(super) async fn existing(url: &str, settings: &Settings, monitor: Arc<dyn Monitor>) -> Result<Option<Opened>> {
    let opened = async {
        let location = Location::open(url, settings)?;
        let archive = Archive::open(Arc::clone(location.store()), location.url()).await?.with_monitor(monitor);
        Ok::<_, Error>((location, archive))
    };
    match opened.await {
        Ok(opened) => Ok(Some(opened)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

async fn open_or_create(
    existing: Option<Opened>,
    url: &str,
    settings: &Settings,
    client: &Client,
    monitor: Arc<dyn Monitor>,
) -> Result<Opened> {
    let identity = client.identity().await?;
    let (location, archive) = match existing {
        Some(existing) => existing,
        None => {
            refuse_empty_selection(&client.shapes().await?, &client.selection())?;
            let location = Location::create(url, settings)?;
            let store = Arc::clone(location.store());
            let archive = Archive::open_or_create(store, location.url(), identity, Timestamp::now()).await?;
            (location, archive.with_monitor(Arc::clone(&monitor)))
        }
    };
    let cleaned = location.clean_staging(Timestamp::now(), monitor.as_ref())?;
    if cleaned > 0 {
        tracing::info!("removed {} that a killed process had left behind", counted(cleaned, "unfinished file"));
    }
    Ok((location, archive))
}

/// The selection that the archive holds; everything, as long as nothing was archived.
fn kept_selection(head: &Head) -> Selection {
    let kept = head.latest().map(|latest| latest.selection.clone()).unwrap_or_default();
    if !kept.is_everything() {
        tracing::info!(
            "the archive keeps its selection `{kept}` (to change it, use --include or --exclude with \
             --accept-selection)"
        );
    }
    kept
}
