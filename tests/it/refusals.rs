//! Every answer that is no page, over real HTTP: what it means, what the person is told, and how often it is asked again.
//!
//! Rows are those that a real deployment was seen to give, and every status that its code or a proxy before it can send.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use convex_archiver::{
    ErrorKind, Event, Monitor, NoMonitor, Timestamp,
    convex::{Access, Client, ClientOptions, DeployKey, RetryPolicy, Source},
    server::{Fault, SimulatedDeployment},
};

use crate::{
    conformance::Server,
    support::{KEY, pages},
};

/// A client of a deployment with these faults, which begins no attempt later than `budget` after the first.
async fn client(faults: Vec<Fault>, budget: Duration, monitor: Arc<dyn Monitor>) -> (Client, Server) {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 7));
    let server = Server::start(deployment, pages(9, 9).faults(faults)).await;
    let access = Access::new(&server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
    let base = Duration::from_millis(1);
    let retry = RetryPolicy { base, longest: base, budget, ..RetryPolicy::default() };
    (Client::new(access, ClientOptions::default().retry(retry), monitor).unwrap(), server)
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn each_answer_that_is_no_page_has_its_kind_and_says_what_to_do() {
    use ErrorKind::{Access, Internal, Protocol, Unavailable, Unsupported, Usage, Window};
    let refusal = Fault::refusal;
    // The answer, its kind, the exit code of that kind, a piece of the sentence.
    let table = [
        // Seen on a running server, or read in its code.
        (refusal(403, "BadDeployKey"), Access, 1, "the deploy key belongs to another deployment"),
        (refusal(401, "BadAdminKey"), Access, 1, "create a new one for this deployment"),
        (refusal(400, "InvalidHeaderFailure"), Access, 1, "copy the whole of it"),
        (refusal(401, "InvalidAuthHeader"), Access, 1, "copy the whole of it"),
        (refusal(403, "StreamingExportNotEnabled"), Access, 1, "needs Convex Professional or higher"),
        (refusal(403, "OperationNotPermitted"), Access, 1, "create one with `deployment:data:view`"),
        (refusal(400, "InvalidListSnapshotCursor"), Window, 1, "the position at which its snapshot stopped"),
        (refusal(400, "SnapshotTooOld"), Window, 1, "run again, which begins a new one"),
        (refusal(400, "SnapshotTooNew"), Protocol, 1, "was it restored from a backup"),
        (refusal(400, "InvalidWindowToReadDocuments"), Window, 1, "older than the deployment keeps"),
        (refusal(400, "DocumentDeltasCursorRequired"), Internal, 1, "report it"),
        (refusal(400, "BadQueryArgs"), Internal, 1, "report it"),
        (refusal(400, "BadJsonBody"), Internal, 1, "report it"),
        (refusal(400, "BadFormat"), Unsupported, 1, "supports none of the encodings"),
        (refusal(400, "InvalidClientVersion"), Unsupported, 1, "upgrade it"),
        (refusal(400, "ClientVersionUnsupported"), Unsupported, 1, "upgrade it"),
        (refusal(500, "InternalServerError"), Unavailable, 5, "report it if it persists"),
        (refusal(503, "TableSummariesUnavailable"), Unavailable, 5, "run again in a few minutes"),
        (refusal(409, "OptimisticConcurrencyControlFailure"), Unavailable, 5, "run again later"),
        // A code that nobody knows yet is judged by its status.
        (refusal(400, "Novelty"), Protocol, 1, "400 Novelty: Refused by the simulation."),
        (refusal(401, "Novelty"), Access, 1, "check the key and its permissions"),
        (refusal(403, "Novelty"), Access, 1, "check the key and its permissions"),
        (refusal(404, "Novelty"), Usage, 2, "NAME.convex.cloud, not NAME.convex.site"),
        (refusal(500, "Novelty"), Unavailable, 5, "report it if it persists"),
        (refusal(503, "Novelty"), Unavailable, 5, "run again later"),
        // No code at all: timeouts, limits, and what stands before the deployment.
        (Fault::status(301).with_header("location", "https://example.org"), Usage, 2, "redirects elsewhere"),
        (Fault::status(307), Usage, 2, "redirects elsewhere"),
        (Fault::status(404), Usage, 2, "no Convex deployment"),
        (Fault::status(408), Unavailable, 5, "repeatedly took too long"),
        (Fault::status(410), Protocol, 1, "does not know: report it"),
        (Fault::status(421), Unavailable, 5, "run again later"),
        (Fault::status(425), Unavailable, 5, "run again later"),
        (Fault::status(429), Unavailable, 5, "asks for fewer requests"),
        (Fault::status(502), Unavailable, 5, "run again later"),
        (Fault::status(503), Unavailable, 5, "run again later"),
        (Fault::status(504), Unavailable, 5, "run again later"),
        (Fault::status(520), Unavailable, 5, "run again later"),
        (Fault::status(521), Unavailable, 5, "cannot reach it"),
        (Fault::status(522), Unavailable, 5, "cannot reach it"),
        (Fault::status(523), Unavailable, 5, "cannot reach it"),
        (Fault::status(524), Unavailable, 5, "cannot reach it"),
        (Fault::html(200), Protocol, 1, "the answer is an HTML page: is this the deployment's URL?"),
        (Fault::html(403), Access, 1, "a proxy or firewall in front of the deployment"),
        (Fault::html(404), Usage, 2, "no Convex deployment"),
        (Fault::html(407), Access, 1, "a proxy or firewall in front of the deployment"),
        (Fault::html(502), Unavailable, 5, "a proxy cannot reach the deployment"),
        (Fault::html(504), Unavailable, 5, "a proxy cannot reach the deployment"),
    ];
    for (fault, kind, exit, text) in table {
        // Without patience: what is said of it, in both phases.
        let (client, _server) = client(vec![fault.clone()], Duration::ZERO, Arc::new(NoMonitor)).await;
        for at in [client.snapshot_start(), client.deltas_after(Timestamp(1)).await.unwrap()] {
            let error = client.page(&at).await.unwrap_err();
            assert_eq!((error.kind(), exit_code(error.kind())), (kind, exit), "{error}");
            assert!(error.to_string().contains(text), "{error}\n{text}");
        }
        // With patience: it is given nine times, and then an answer that is final.
        let end = Fault::refusal(401, "BadAdminKey").after(9);
        let asked = match fault.status {
            500 => 4,
            408 | 421 | 425 | 429 | 501.. => 10,
            // Each encoding is tried.
            _ if fault.body.contains("BadFormat") => 3,
            _ => 1,
        };
        let (client, _server) = self::client(vec![fault.clone().times(9), end], PATIENT, Arc::new(NoMonitor)).await;
        client.page(&client.snapshot_start()).await.unwrap_err();
        assert_eq!(client.traffic().requests, asked, "{fault:?}");
    }
}

/// The program's exit code of a kind, as README has it.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Conflict => 4,
        ErrorKind::Unavailable => 5,
        _ => 1,
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Monitor for Heard {
    fn report(&self, event: Event<'_>) {
        let line = match event {
            Event::Retry { error, .. } => format!("retry: {error}"),
            Event::Finding(finding) => format!("warning: {finding}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn a_retry_is_told_by_what_was_answered_and_a_deprecation_once() {
    let announced = Fault::status(503)
        .with_header("x-convex-deprecation-state", "UpgradeRequired")
        .with_header("x-convex-deprecation-message", "Use Data Sync.")
        .times(2);
    let heard = Arc::new(Heard::default());
    let faults = vec![announced, Fault::refusal(503, "TableSummariesUnavailable").after(2).times(1)];
    let (client, _server) = client(faults, PATIENT, Arc::clone(&heard) as Arc<dyn Monitor>).await;
    client.page(&client.snapshot_start()).await.unwrap();
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "warning: the deployment announces a change (UpgradeRequired): Use Data Sync.",
            "retry: the deployment answered 503: no body",
            "retry: the deployment answered 503: no body",
            "retry: the deployment answered 503 TableSummariesUnavailable: Refused by the simulation.",
        ]
    );
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept_in_seconds_and_as_a_date() {
    let in_two_seconds = || (Timestamp::now().to_datetime() + chrono::Duration::seconds(2)).to_rfc2822();
    // A date has whole seconds.
    for (asked, least) in [(in_two_seconds(), 900), ("1".to_owned(), 1000)] {
        let fault = Fault::status(429).with_header("retry-after", &asked).times(1);
        let (client, _server) = client(vec![fault], PATIENT, Arc::new(NoMonitor)).await;
        let begin = std::time::Instant::now();
        client.page(&client.snapshot_start()).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(least), "{asked}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn an_answer_that_is_no_page_has_the_deployments_date_too() {
    let ahead = 400 * 86_400_000_000_000;
    let deployment = SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(Timestamp::now().0 + ahead));
    let faults = vec![Fault::refusal(401, "BadAdminKey").after(1)];
    let server = Server::start(Arc::new(deployment), pages(9, 9).faults(faults)).await;
    let client = crate::support::client(&server.url);
    let mut offsets = Vec::new();
    for works in [true, false] {
        assert_eq!(client.shapes().await.is_ok(), works);
        offsets.push(client.clock_offset().unwrap());
    }
    assert!(offsets.iter().all(|offset| (offset - ahead).abs() < 60_000_000_000), "{offsets:?}");
}
