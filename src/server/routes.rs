//! The routes: who asks, what for, and the answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, Request, State},
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_TYPE, DATE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use tokio::net::TcpListener;

use super::{
    access, audit_log, data_sync, deltas,
    deployment::Deployment,
    era::{AuditLogs, Posts},
    fault::Faults,
    imports::Imports,
    json_schemas,
    options::RouterOptions,
    page::json,
    params::Params,
    refusal::{Cause, Refusal},
    shape::SampledShape,
    snapshot,
};
use crate::{
    document::TableRef,
    error::{Error, Result},
    monitor::{Event, Finding, Monitor, NoMonitor},
};

/// What every route holds.
struct ServedDeployment {
    deployment: Arc<dyn Deployment>,
    options: RouterOptions,
    summaries_unavailable: AtomicBool,
    faults: Faults,
    /// Requests that had to show a key.
    admitted: AtomicU64,
    monitor: Arc<dyn Monitor>,
}

type Answer = std::result::Result<Response, Refusal>;

/// The HTTP API of `deployment`. Pages are built in memory: about `snapshot_page` documents, or `delta_page` log rows plus
/// one transaction, for every request in flight.
pub fn router(deployment: Arc<dyn Deployment>, options: RouterOptions) -> Router {
    monitored_router(deployment, options, Arc::new(NoMonitor))
}

/// The same; `monitor` hears of requests that could not be answered.
fn monitored_router(deployment: Arc<dyn Deployment>, options: RouterOptions, monitor: Arc<dyn Monitor>) -> Router {
    let served = Arc::new(ServedDeployment {
        deployment,
        summaries_unavailable: AtomicBool::new(options.summaries_unavailable_once),
        faults: Faults::new(options.faults.clone()),
        admitted: AtomicU64::new(0),
        options,
        monitor,
    });
    let (mut snapshot, mut deltas) = (get(list_snapshot), get(document_deltas));
    if served.options.posts != Posts::Refuse {
        (snapshot, deltas) = (snapshot.post(post_list_snapshot), deltas.post(post_document_deltas));
    }
    let mut routes = Router::new()
        .route("/api/list_snapshot", snapshot)
        .route("/api/document_deltas", deltas)
        .route("/api/json_schemas", get(schemas))
        .route("/api/get_table_column_names", get(column_names))
        .route("/api/test_streaming_export_connection", get(test_connection))
        .route("/version", get(|| async { "unknown" }));
    if served.options.has(served.options.data_sync_cursor) {
        routes = routes.route("/api/data_sync_cursor_from_deltas", post(data_sync_cursor));
    }
    if served.options.has(served.options.data_sync) && served.deployment.data_sync().is_some() {
        routes = routes.route("/api/v1/data/sync", post(data_sync));
        routes = routes.route("/api/v1/data/list_active_syncs", get(list_active_syncs));
    }
    if served.options.audit_logs != AuditLogs::Absent {
        routes = routes.route("/api/v1/list_audit_log_events", get(list_audit_log_events));
    }
    if served.options.instance_name {
        routes = routes.route("/instance_name", get(instance_name));
    }
    if let Some(version) = served.options.instance_version.clone() {
        routes = routes.route("/instance_version", get(|| async { version }));
    }
    let mut routes = routes.with_state(Arc::clone(&served));
    if served.deployment.imports().is_some() {
        let key = Arc::clone(&served);
        let opens = move |given: &str| access::opens(given, key.key_at(key.admitted.load(Ordering::Relaxed)));
        let imports = Imports::new(Arc::clone(&served.deployment), served.options.import_pause, opens);
        let keyed = imports.routes().route_layer(middleware::from_fn_with_state(Arc::clone(&served), admitted));
        routes = routes.merge(keyed).merge(imports.socket());
    }
    routes.layer(DefaultBodyLimit::max(1 << 20)).layer(middleware::from_fn_with_state(Arc::clone(&served), around_all))
}

/// Answers requests until the future is dropped. `monitor` hears of those that could not be answered.
///
/// # Errors
/// Resource, if the listener fails.
pub async fn answer(
    listener: TcpListener,
    deployment: Arc<dyn Deployment>,
    options: RouterOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<()> {
    let routes = monitored_router(deployment, options, monitor);
    axum::serve(listener, routes).await.map_err(|e| Error::resource("the listener failed").with_source(e))
}

/// What stands around every route: faults before it, and afterwards the monitor hears why it failed.
async fn around_all(State(s): State<Arc<ServedDeployment>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match s.faults.answer(&path) {
        Some(instead) => instead,
        None => next.run(request).await,
    };
    let date = s.deployment.clock().map(|now| now.to_datetime().format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    if let Some(Cause(why)) = response.extensions_mut().remove() {
        s.monitor.report(Event::Finding(&Finding::RequestFailed { path, why }));
    }
    response
}

/// What stands around routes that look at no parameters of their own: the check of the key.
async fn admitted(State(s): State<Arc<ServedDeployment>>, request: Request, next: Next) -> Response {
    match s.admit(request.headers(), request.uri().query()).await {
        Ok(_) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl ServedDeployment {
    /// Lets the request pass after the latency, or refuses it.
    async fn admit(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Params, Refusal> {
        if !self.options.latency.is_zero() {
            tokio::time::sleep(self.options.latency).await;
        }
        let params = Params::from_query(query.unwrap_or_default());
        let number = self.admitted.fetch_add(1, Ordering::Relaxed);
        access::check(headers, params.text("adminKey")?, self.key_at(number))?;
        Ok(params)
    }

    /// The key that counts for the request of this number.
    fn key_at(&self, number: u64) -> &str {
        let begun = self.options.rotations.iter().filter(|(from, _)| *from <= number);
        begun.max_by_key(|(from, _)| *from).map_or(&self.options.key, |(_, key)| key)
    }

    /// The same for a request whose arguments are its body.
    async fn admit_post(&self, headers: &HeaderMap, query: Option<&str>, body: &Bytes) -> Result<Params, Refusal> {
        self.admit_json(headers, query).await?;
        Params::from_body(body)
    }

    /// The same for a request whose body has to be JSON, before it is read.
    async fn admit_json(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), Refusal> {
        self.admit(headers, query).await?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type != "application/json" && !media_type.ends_with("+json") {
            let message = "Expected request with `Content-Type: application/json`";
            return Err(Refusal::bad_request("BadJsonBody", message));
        }
        Ok(())
    }

    /// The shapes of the tables that a server of these options has.
    async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, SampledShape)>, Refusal> {
        let mut shapes = self.deployment.shapes().await?;
        shapes.retain(|(table, _)| self.options.components.show(table, false));
        Ok(shapes)
    }

    fn check_summaries(&self) -> Result<(), Refusal> {
        if self.summaries_unavailable.swap(false, Ordering::Relaxed) {
            let message = "Table summaries are not ready yet. Try again later.";
            return Err(Refusal::unavailable("TableSummariesUnavailable", message));
        }
        Ok(())
    }
}

async fn list_snapshot(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let params = s.admit(&headers, query.as_deref()).await?;
    snapshot::answer(&*s.deployment, &s.options, &params).await
}

async fn post_list_snapshot(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = s.admit_post(&headers, query.as_deref(), &body).await?;
    snapshot::answer(&*s.deployment, &s.options, &params).await
}

async fn document_deltas(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let params = s.admit(&headers, query.as_deref()).await?;
    deltas::answer(&*s.deployment, &s.options, &params).await
}

async fn post_document_deltas(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let params = s.admit_post(&headers, query.as_deref(), &body).await?;
    deltas::answer(&*s.deployment, &s.options, &params).await
}

async fn data_sync(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    s.admit_json(&headers, query.as_deref()).await?;
    let source = s.deployment.data_sync().ok_or_else(Refusal::internal)?;
    data_sync::sync(&*s.deployment, source, &s.options, &body).await
}

async fn list_active_syncs(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let params = s.admit(&headers, query.as_deref()).await?;
    let source = s.deployment.data_sync().ok_or_else(Refusal::internal)?;
    data_sync::active_syncs(&*s.deployment, source, &params).await
}

async fn list_audit_log_events(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let params = s.admit(&headers, query.as_deref()).await?;
    audit_log::list(&*s.deployment, s.options.audit_logs, &params)
}

/// A cursor for Data Sync. Of a deployment that has none, only a body that the real route refuses too is understood.
async fn data_sync_cursor(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    if let Some(source) = s.deployment.data_sync() {
        s.admit_json(&headers, query.as_deref()).await?;
        return data_sync::cursor_from_deltas(&*s.deployment, source, &s.options, &body).await;
    }
    let params = s.admit_post(&headers, query.as_deref(), &body).await?;
    if params.moment("cursor")?.is_none() {
        return Err(Refusal::bad_request("BadJsonBody", "Failed to deserialize the JSON body: missing field `cursor`"));
    }
    Err(Refusal::bad_request("DataSyncNotServed", "This server has no Data Sync: use document_deltas."))
}

async fn schemas(State(s): State<Arc<ServedDeployment>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    let params = s.admit(&headers, query.as_deref()).await?;
    let (delta_schema, by_component) = (params.flag("deltaSchema")?, params.flag("byComponent")?);
    let encoding = params.encoding(&s.options.formats)?;
    s.check_summaries()?;
    let shapes = s.shapes().await?;
    json_schemas::schemas(&shapes, s.options.schemas, encoding, delta_schema, by_component).map(json)
}

async fn column_names(State(s): State<Arc<ServedDeployment>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    s.admit(&headers, query.as_deref()).await?;
    s.check_summaries()?;
    Ok(json(json_schemas::column_names(&s.shapes().await?)))
}

async fn instance_name(State(s): State<Arc<ServedDeployment>>) -> String {
    s.deployment.name()
}

async fn test_connection(
    State(s): State<Arc<ServedDeployment>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    s.admit(&headers, query.as_deref()).await?;
    Ok(json("null"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::{
        document::{Revision, Timestamp},
        error::{Error, Result},
        server::{LogRows, Tablet, shape::SampledShape},
    };

    /// A deployment that knows nothing.
    struct BrokenDeployment;

    #[async_trait]
    impl Deployment for BrokenDeployment {
        fn name(&self) -> String {
            "broken".into()
        }
        async fn now(&self) -> Result<Timestamp> {
            Err(Error::corrupt("the disk is on fire"))
        }
        async fn tables(&self, _: Timestamp) -> Result<Vec<Tablet>> {
            Err(Error::corrupt("the disk is on fire"))
        }
        async fn documents(&self, _: &Tablet, _: Timestamp, _: Option<&str>, _: usize) -> Result<Vec<Arc<Revision>>> {
            Err(Error::corrupt("the disk is on fire"))
        }
        async fn log(&self, _: Timestamp, _: Timestamp, _: usize) -> Result<LogRows> {
            Err(Error::corrupt("the disk is on fire"))
        }
        async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, SampledShape)>> {
            Err(Error::corrupt("the disk is on fire"))
        }
    }

    #[tokio::test]
    async fn why_a_request_failed_is_told_to_the_monitor_and_not_to_the_client() {
        #[derive(Default)]
        struct Heard(Mutex<Vec<Finding>>);
        impl Monitor for Heard {
            fn report(&self, event: Event<'_>) {
                if let Event::Finding(finding) = event {
                    self.0.lock().unwrap().push(finding.clone());
                }
            }
        }
        let heard = Arc::new(Heard::default());
        let routes = monitored_router(Arc::new(BrokenDeployment), RouterOptions::default(), Arc::clone(&heard) as _);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/json_schemas", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
        let answer = request.header("authorization", "Convex simulated|key").send().await.unwrap();
        serving.abort();
        assert_eq!(answer.status().as_u16(), 500);
        assert!(!answer.text().await.unwrap().contains("fire"));
        let why = "the disk is on fire".to_owned();
        assert_eq!(*heard.0.lock().unwrap(), [Finding::RequestFailed { path: "/api/json_schemas".into(), why }]);
    }
}
