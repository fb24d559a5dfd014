//! A simulated deployment as a server: documents, writes over time, and the routes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use derive_setters::Setters;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, time::MissedTickBehavior};

use super::{
    change::keyed,
    demo::demo_documents,
    deployment::SimulatedDeployment,
    generate,
    load::{Documents, read_directory},
    writer::SeededWriter,
};
use crate::{
    error::{Result, ResultExt},
    monitor::Monitor,
    server::{options::RouterOptions, routes::answer},
};

/// A simulated deployment, as plain data.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct SimulateOptions {
    /// Its name.
    pub name: String,
    /// What ids, generated documents and writes follow from.
    pub seed: u64,
    /// What it holds at first.
    pub contents: Contents,
    /// What it becomes.
    pub then: Option<LaterContents>,
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

impl Contents {
    /// The documents themselves.
    pub fn documents(&self, seed: u64) -> Result<Documents> {
        match self {
            Self::Generated(count) => generate::documents(*count, &mut StdRng::seed_from_u64(seed)),
            Self::Demo => demo_documents(0),
            Self::Directory(directory) => read_directory(directory),
        }
    }
}

/// Other documents that come later: the whole of what the deployment then holds, see
/// [`SimulatedDeployment::change_to`]. They are written in transactions of a hundred.
#[derive(Debug, Clone)]
pub struct LaterContents {
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
        deployment.insert_all(options.contents.documents(options.seed)?)?;
        Ok(deployment)
    }
}

/// Serves `deployment` and writes to it as the options say, until the future is dropped or something fails.
///
/// # Errors
/// Usage, if the later documents cannot be read, or not be told apart: they are read before the first request is answered. Resource, if the
/// listener fails.
pub async fn serve(
    listener: TcpListener,
    deployment: Arc<SimulatedDeployment>,
    options: SimulateOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<()> {
    let read = |then: &LaterContents| {
        let documents = keyed(read_directory(&then.directory)?, &then.by);
        documents.context(|| then.directory.display().to_string())
    };
    let later = options.then.as_ref().map(|then| read(then).map(|documents| (then, documents))).transpose()?;
    let change = async {
        if let Some((then, documents)) = later {
            tokio::time::sleep(then.after).await;
            let mut way = deployment.way_to(documents, &then.by);
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
    tokio::select! {
        answered = answer(listener, Arc::clone(&deployment) as _, options.router.clone(), monitor) => answered,
        changed = change => changed,
        written = write => written,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        document::{TableRef, Timestamp, Value},
        monitor::NoMonitor,
    };

    #[tokio::test]
    async fn the_documents_become_those_of_the_other_directory_while_writes_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, lines: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, lines).unwrap();
        };
        write("old/t.ndjson", "{\"k\":1,\"v\":1.0}\n{\"k\":2,\"v\":\"x\"}\n");
        write("old/_components/a/_components/b/u.ndjson", "{\"k\":1}\n");
        write("new/t.ndjson", "{\"k\":2,\"v\":\"x\"}\n{\"k\":1,\"v\":2.0}\n{\"k\":3}\n");
        let options = SimulateOptions {
            contents: Contents::Directory(folder.path().join("old")),
            then: Some(LaterContents { directory: folder.path().join("new"), by: "k".into(), after: Duration::ZERO }),
            ..SimulateOptions::default()
        };
        let deployment = Arc::new(SimulatedDeployment::from_options(&options).unwrap());
        let before = deployment.revisions().len();
        let (t, u) = (TableRef::new("", "t").unwrap(), TableRef::new("a/b", "u").unwrap());
        let live = |table: &TableRef| deployment.state_at(Timestamp(i64::MAX))[table].len();
        assert_eq!((before, live(&t), live(&u)), (3, 2, 1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let serving = serve(listener, Arc::clone(&deployment), options, Arc::new(NoMonitor));
        let arrived = async {
            while deployment.revisions().len() < before + 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = serving => panic!("{ended:?}"),
            () = arrived => {}
        }
        // One update, one insert, one delete; what did not change was not written.
        assert_eq!((deployment.revisions().len(), live(&t), live(&u)), (before + 3, 3, 0));

        let busy = SimulateOptions { writes_per_second: 1e6, ..SimulateOptions::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::select! {
            ended = serve(listener, Arc::clone(&deployment), busy, Arc::new(NoMonitor)) => panic!("{ended:?}"),
            () = async { while deployment.revisions().len() < before + 20 { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
        }
    }

    #[test]
    fn what_others_deleted_meanwhile_is_written_anew_or_left_deleted() {
        let t = TableRef::new("", "t").unwrap();
        let document = |k: i64, v: i64| [("k".into(), Value::Int64(k)), ("v".into(), Value::Int64(v))].into();
        let deployment = SimulatedDeployment::new("d", 1);
        deployment.insert_all([(t.clone(), vec![document(1, 1), document(2, 1)])].into()).unwrap();
        let wanted = keyed([(t.clone(), vec![document(1, 2)])].into(), "k").unwrap();
        let mut way = deployment.way_to(wanted, "k");
        let ids: Vec<_> = deployment.state_at(Timestamp(i64::MAX))[&t].keys().cloned().collect();
        deployment.transaction(|tx| ids.iter().try_for_each(|id| tx.delete(&t, id))).unwrap();
        while way.step(&deployment).unwrap().is_some() {}
        let state = deployment.state_at(Timestamp(i64::MAX));
        let live: Vec<_> = state[&t].values().map(|r| r.document.as_ref().unwrap()["v"].clone()).collect();
        assert_eq!(live, [Value::Int64(2)]);
    }

    #[tokio::test]
    async fn later_documents_that_cannot_be_told_apart_are_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.ndjson"), "{\"k\":1}\n").unwrap();
        let after = Duration::from_secs(3600);
        let then = LaterContents { directory: folder.path().to_owned(), by: "other".into(), after };
        let options = SimulateOptions { then: Some(then), ..SimulateOptions::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deployment = Arc::new(SimulatedDeployment::new("d", 1));
        let error = serve(listener, deployment, options, Arc::new(NoMonitor)).await.unwrap_err();
        assert!(error.to_string().contains("no field `other`"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_document_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.ndjson"), "{}\n[1]\n").unwrap();
        let error = read_directory(folder.path()).unwrap_err().to_string();
        assert!(error.contains("t.ndjson: line 2: "), "{error}");
        assert!(read_directory(&folder.path().join("none")).is_err());
    }
}
