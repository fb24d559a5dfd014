//! The routes: who asks, what for, and the answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, Request, State},
    http::{HeaderMap, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::Response,
    routing::get,
};

use tokio::net::TcpListener;

use super::{
    access, deltas, deployment::Deployment, era::Posts, fault::Faults, json_schemas, options::RouterOptions,
    page::json, params::Params, refusal::Refusal, shape::SampledShape, snapshot,
};
use crate::{
    document::TableRef,
    error::{Error, Result},
};

/// What every route holds.
struct ServedDeployment {
    deployment: Arc<dyn Deployment>,
    options: RouterOptions,
    summaries_unavailable: AtomicBool,
    faults: Faults,
    /// Requests that had to show a key.
    admitted: AtomicU64,
}

type Answer = std::result::Result<Response, Refusal>;

/// The HTTP API of `deployment`. Pages are built in memory: about `snapshot_page` documents, or `delta_page` log rows plus
/// one transaction, for every request in flight.
pub fn router(deployment: Arc<dyn Deployment>, options: RouterOptions) -> Router {
    let served = Arc::new(ServedDeployment {
        deployment,
        summaries_unavailable: AtomicBool::new(options.summaries_unavailable_once),
        faults: Faults::new(options.faults.clone()),
        admitted: AtomicU64::new(0),
        options,
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
    if served.options.instance_name {
        routes = routes.route("/instance_name", get(instance_name));
    }
    if let Some(version) = served.options.instance_version.clone() {
        routes = routes.route("/instance_version", get(|| async { version }));
    }
    routes
        .layer(DefaultBodyLimit::max(1 << 20))
        .layer(middleware::from_fn_with_state(Arc::clone(&served), before_all))
        .with_state(served)
}

/// Answers requests until the future is dropped.
///
/// # Errors
/// Resource, if the listener fails.
pub async fn answer(listener: TcpListener, deployment: Arc<dyn Deployment>, options: RouterOptions) -> Result<()> {
    let routes = router(deployment, options);
    axum::serve(listener, routes).await.map_err(|e| Error::resource("the listener failed").with_source(e))
}

/// What stands before every route: faults.
async fn before_all(State(s): State<Arc<ServedDeployment>>, request: Request, next: Next) -> Response {
    match s.faults.answer(request.uri().path()) {
        Some(instead) => instead,
        None => next.run(request).await,
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
        self.admit(headers, query).await?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type != "application/json" && !media_type.ends_with("+json") {
            let message = "Expected request with `Content-Type: application/json`";
            return Err(Refusal::bad_request("BadJsonBody", message));
        }
        Params::from_body(body)
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
