//! `kill -9` of a real `sync` at random moments: then one that is left alone makes the archive equal to the deployment.
//!
//! The deployment lives in the test, so that every revision that it ever had is known. `CONVEX_ARCHIVER_KILLS=1000` kills
//! more often.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use convex_archiver::{
    ErrorKind,
    archive::{Archive, Location, Settings},
    server::{Deployment, RouterOptions, SeededWriter, SimulatedDeployment, router},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    held::Held,
    support::{KEY, Running, archiver, run},
};

/// Kills in CI.
const KILLS: usize = 20;
/// Kills of one archive; then the next one begins.
const EACH: usize = 5;

/// The archive in a folder; `None` if none has been made yet.
async fn held(archive: &Path) -> Option<Held> {
    let location = Location::open(archive.to_str().unwrap(), &Settings::default()).ok()?;
    match Archive::open(Arc::clone(location.store()), location.url()).await {
        Ok(archive) => Some(Held::read(&archive).await),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
            None
        }
    }
}

async fn count(State(requests): State<Arc<AtomicU64>>, request: Request, next: Next) -> Response {
    requests.fetch_add(1, Ordering::SeqCst);
    next.run(request).await
}

/// A deployment and its archive, of which so many runs are killed. Returns how many were still at it.
async fn kill_and_complete(seed: u64, kills: usize) -> usize {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", seed));
    let (mut writer, mut random) = (SeededWriter::new(seed), StdRng::seed_from_u64(seed));
    let mut write = |transactions: usize| {
        for _ in 0..transactions {
            writer.write(&deployment).unwrap();
        }
    };
    write(300);
    let answers =
        RouterOptions::default().key(KEY.to_owned()).snapshot_page(25).delta_page(10).latency(Duration::from_millis(3));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU64::new(0));
    let routes = router(Arc::clone(&deployment) as Arc<dyn Deployment>, answers);
    let routes = routes.layer(from_fn_with_state(Arc::clone(&requests), count));
    let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });

    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let sync = || -> Command {
        let mut command = archiver(["sync", "--json", "--deployment", &url, "--commit-every", "5ms"]);
        command.arg("--archive").arg(&archive).env("CONVEX_DEPLOY_KEY", KEY);
        command
    };
    // Every other one is killed while it follows the deltas.
    if seed % 2 == 1 {
        run(&mut sync()).with(0);
        write(50);
    }
    let (mut met, mut version) = (0, 0);
    for _ in 0..kills {
        // When it has come to one of its first requests, and a little later.
        let until = requests.load(Ordering::SeqCst) + random.random_range(1..=7);
        let mut running = Running::start(&mut sync());
        while requests.load(Ordering::SeqCst) < until && !running.has_ended() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..10_000))).await;
        met += usize::from(running.kill());
        // What was committed is whole, and stays.
        if let Some(held) = held(&archive).await {
            assert!(held.head.version() >= version);
            version = held.head.version();
            if held.head.coverage().bases.is_empty() {
                assert!(held.deltas.is_empty());
            } else {
                held.assert_equal(&deployment);
            }
        }
        write(random.random_range(40..60));
    }
    let report = run(&mut sync()).with(0).json();
    assert_eq!(report["caught_up"], true, "{report}");
    let held = held(&archive).await.unwrap();
    held.assert_equal(&deployment);
    held.assert_true(&deployment);
    assert_eq!(held.head.coverage().bases.len(), 1);
    assert_eq!(report["version"], held.head.version(), "{report}");
    server.abort();
    met
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_lost_or_twice_and_the_next_run_completes_the_archive() {
    let kills = std::env::var("CONVEX_ARCHIVER_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let (mut done, mut met, mut seed) = (0, 0, 0);
    while done < kills {
        let now = EACH.min(kills - done);
        met += kill_and_complete(seed, now).await;
        done += now;
        seed += 1;
    }
    // The others were caught up already.
    assert!(met * 2 >= kills, "only {met} of {kills} were still at it when they were killed");
}
