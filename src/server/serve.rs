//! A simulated deployment as a server: documents, writes over time, and the routes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, time::MissedTickBehavior};

use super::{RouterOptions, SeededWriter, SimulatedDeployment, demo_documents, generate, read_directory, router};
use crate::error::{Error, Result, ResultExt};

/// A simulated deployment, as plain data.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// Its name.
    pub name: String,
    /// What ids, generated documents and writes follow from.
    pub seed: u64,
    /// What it holds at first.
    pub contents: Contents,
    /// What it becomes.
    pub then: Option<Then>,
    /// Transactions that are written each second; 0 for none.
    pub writes_per_second: f64,
    /// How it answers.
    pub router: RouterOptions,
}

/// What a simulated deployment holds at first.
#[derive(Debug, Clone)]
pub enum Contents {
    /// About so many documents, made up from the seed.
    Generated(usize),
    /// The demo's documents, before their changes.
    Demo,
    /// `DIR/[_components/NAME/]TABLE.ndjson`, values in export_json.
    Directory(PathBuf),
}

/// Other documents that come later.
#[derive(Debug, Clone)]
pub struct Then {
    /// Where they are.
    pub directory: PathBuf,
    /// The field that tells which documents are the same.
    pub by: String,
    /// When they come, counted from the start of [`serve`].
    pub after: Duration,
}

impl Default for SimulateOptions {
    /// A thousand documents made up, nothing written afterwards.
    fn default() -> Self {
        Self {
            name: "simulated".to_owned(),
            seed: 0,
            contents: Contents::Generated(1000),
            then: None,
            writes_per_second: 0.0,
            router: RouterOptions::default(),
        }
    }
}

impl SimulatedDeployment {
    /// The deployment of these options as it is at first, on the system's clock.
    pub fn from_options(options: &SimulateOptions) -> Result<Self> {
        let deployment = Self::new(&options.name, options.seed);
        deployment.insert_all(match &options.contents {
            Contents::Generated(count) => generate::documents(*count, &mut StdRng::seed_from_u64(options.seed))?,
            Contents::Demo => demo_documents(0)?,
            Contents::Directory(directory) => read_directory(directory)?,
        })?;
        Ok(deployment)
    }
}

/// Serves `deployment` and writes to it as the options say, until the future is dropped or something fails.
///
/// # Errors
/// Usage, if the later documents cannot be read: they are read before the first request is answered. Resource, if the
/// listener fails.
pub async fn serve(
    listener: TcpListener,
    deployment: Arc<SimulatedDeployment>,
    options: SimulateOptions,
) -> Result<()> {
    let later = options.then.as_ref().map(|then| Ok((then, read_directory(&then.directory)?))).transpose()?;
    let change = async {
        if let Some((then, documents)) = later {
            tokio::time::sleep(then.after).await;
            let mut way = deployment.way_to(documents, &then.by).context(|| then.directory.display().to_string())?;
            while way.step(&deployment)?.is_some() {
                tokio::task::yield_now().await;
            }
        }
        std::future::pending().await
    };
    let write = async {
        if options.writes_per_second <= 0.0 {
            return std::future::pending().await;
        }
        let mut writer = SeededWriter::new(options.seed);
        let pause = Duration::try_from_secs_f64(1.0 / options.writes_per_second).unwrap_or(Duration::MAX);
        let mut ticks = tokio::time::interval(pause.clamp(Duration::from_micros(1), Duration::from_secs(24 * 3600)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            writer.write(&deployment)?;
        }
    };
    let routes = router(Arc::clone(&deployment) as _, options.router.clone());
    let answer = async { axum::serve(listener, routes).await };
    tokio::select! {
        served = answer => served.map_err(|e| Error::resource("the listener failed").with_source(e)),
        changed = change => changed,
        written = write => written,
    }
}
