//! What goes wrong between a client and a store that speaks HTTP, as plain data: a server between the two passes requests
//! on, and does to some of them what it was told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde::{Deserialize, Serialize};

use super::process::serve;

/// Which requests are hit, and what happens to them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Trouble {
    /// The method; any if empty.
    pub(crate) method: String,
    /// A part of path and query; any if empty.
    pub(crate) path: String,
    /// Of those only each so-manieth; each if 0.
    pub(crate) each: u32,
    /// At most so many; any number if 0.
    pub(crate) times: u32,
    pub(crate) what: What,
}

/// What happens to a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) enum What {
    /// Nothing.
    #[default]
    Pass,
    /// It is done after a time, in milliseconds.
    Late(u64),
    /// It is done, and instead of the answer the connection ends.
    DoneAndCut,
    /// It is done, and the answer says the opposite.
    DoneAnd(u16, String),
    /// It is not done, and the answer says why.
    Refuse(u16, String),
    /// It is not done, and the connection ends.
    Cut,
}

/// Where a troubled server is told its [`Trouble`], by PUT, and tells by GET how many requests it has hit.
const CONTROL: &str = "/-/trouble";

#[derive(Clone)]
struct Between {
    target: String,
    client: reqwest::Client,
    state: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    trouble: Trouble,
    seen: u32,
    hits: u32,
}

impl Now {
    fn meets(&mut self, request: &Request) -> What {
        let trouble = &self.trouble;
        // Google's client spells them so.
        let path = request.uri().to_string().replace("%2E", ".").replace("%2F", "/");
        let named = [(&*trouble.method, request.method().as_str()), (&*trouble.path, &path)];
        if !named.iter().all(|(wanted, is)| is.contains(wanted)) {
            return What::Pass;
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(trouble.each.max(1)) || (trouble.times > 0 && self.hits >= trouble.times) {
            return What::Pass;
        }
        self.hits += 1;
        trouble.what.clone()
    }
}

/// Puts a troubled server before the one at `target`, until this process ends. Answers its URL, under which the target's
/// paths are found.
pub(crate) fn between(target: &str) -> String {
    // Signatures cover the host that the client asked, and answers are passed on as they are.
    let client = reqwest::Client::builder().no_gzip().no_proxy().redirect(reqwest::redirect::Policy::none());
    let between = Between { target: target.to_owned(), client: client.build().unwrap(), state: Arc::default() };
    let routes = Router::new().route(CONTROL, put(told).merge(get(hits))).fallback(pass).with_state(between);
    serve(routes)
}

/// Begins a trouble, and ends the one before.
pub(crate) async fn tell(proxy: &str, trouble: &Trouble) {
    let body = serde_json::to_vec(trouble).unwrap();
    let answer = reqwest::Client::new().put(format!("{proxy}{CONTROL}")).body(body).send().await.unwrap();
    assert!(answer.status().is_success());
}

/// How many requests the trouble has hit.
pub(crate) async fn hit(proxy: &str) -> u32 {
    reqwest::get(format!("{proxy}{CONTROL}")).await.unwrap().text().await.unwrap().parse().unwrap()
}

async fn told(State(between): State<Between>, body: axum::body::Bytes) {
    let trouble = serde_json::from_slice(&body).unwrap();
    *between.state.lock().unwrap() = Now { trouble, ..Now::default() };
}

async fn hits(State(between): State<Between>) -> String {
    between.state.lock().unwrap().hits.to_string()
}

async fn pass(State(between): State<Between>, request: Request) -> Response {
    let what = between.state.lock().unwrap().meets(&request);
    let say = |status, body| (StatusCode::from_u16(status).unwrap(), body).into_response();
    match what {
        What::Pass => between.ask(request).await,
        What::Late(milliseconds) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            between.ask(request).await
        }
        What::DoneAndCut => {
            between.ask(request).await;
            cut()
        }
        What::DoneAnd(status, body) => {
            between.ask(request).await;
            say(status, body)
        }
        What::Refuse(status, body) => {
            // As servers do: whoever sends does not like to be interrupted.
            let _ = to_bytes(request.into_body(), usize::MAX).await;
            say(status, body)
        }
        What::Cut => cut(),
    }
}

/// Ends the connection: the task that serves it unwinds, in silence.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new("the connection ends"))
}

impl Between {
    async fn ask(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().unwrap();
        let mut asked = self.client.request(parts.method, format!("{}{path}", self.target)).headers(parts.headers);
        let body = to_bytes(body, usize::MAX).await.unwrap();
        if !body.is_empty() {
            asked = asked.body(body);
        }
        let answer = asked.send().await.unwrap();
        let mut response = Response::builder().status(answer.status());
        let headers = response.headers_mut().unwrap();
        *headers = answer.headers().clone();
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
    }
}
