//! Requests to one deployment, with the key in force.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::{
    Method, Request, RequestBuilder,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;

use super::{
    access::Access,
    body::Body,
    http::{Http, Reply, Traffic},
    keys::{DeployKey, Keys, Renewal, is_deployment_name},
    protocol::INSTANCE_NAME,
    refusal::Refusal,
    retry::RetryPolicy,
};
use crate::{
    budget::MemoryBudget,
    error::{Error, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::{Event, Finding, Monitor},
};

/// Asks a deployment.
pub(in crate::convex) struct KeyedClient {
    access: Access,
    keys: Arc<Keys>,
    /// Who the deployment said it is: another key must open the same one.
    identity: Mutex<Option<DeploymentIdentity>>,
    http: Http,
    monitor: Arc<dyn Monitor>,
    /// Largest answer to what is advice only, bytes.
    advice: u64,
}

/// The body of a request for a page with a selection.
/// The body of a request that changes something.
#[derive(Clone)]
pub(in crate::convex) struct Posted {
    content_type: &'static str,
    body: Bytes,
}

impl Posted {
    /// None.
    pub(in crate::convex) fn empty() -> Self {
        Self::bytes(Bytes::new())
    }

    /// Bytes of any kind.
    pub(in crate::convex) fn bytes(body: Bytes) -> Self {
        Self { content_type: "application/octet-stream", body }
    }

    /// JSON.
    pub(in crate::convex) fn json(body: Bytes) -> Self {
        Self { content_type: "application/json", body }
    }
}

#[derive(Serialize)]
struct PageRequest<'a, T, S> {
    #[serde(flatten)]
    arguments: &'a T,
    selection: &'a S,
}

impl KeyedClient {
    pub(in crate::convex) fn new(
        access: Access,
        budget: MemoryBudget,
        retry: RetryPolicy,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        let keys = Arc::new(access.keys());
        let (who, memory) = ("the deployment", budget.page());
        let http = Http::new(who, Arc::clone(&keys), retry, memory, access.base(), Arc::clone(&monitor))?;
        Ok(Self { access, keys, identity: Mutex::default(), http, monitor, advice: budget.shapes() })
    }

    pub(in crate::convex) fn traffic(&self) -> Traffic {
        self.http.traffic()
    }

    /// How far the deployment's clock was ahead of ours when it answered last, nanoseconds.
    pub(in crate::convex) fn clock_offset(&self) -> Option<i64> {
        self.http.clock_offset()
    }

    pub(in crate::convex) fn tell(&self, finding: &Finding) {
        self.monitor.report(Event::Finding(finding));
    }

    /// Who the deployment is; it is asked itself where neither address nor key tells its name.
    pub(in crate::convex) async fn identity(&self) -> Result<DeploymentIdentity> {
        let mut identity = self.access.identity();
        if identity.name.is_none() {
            let context = || format!("GET {INSTANCE_NAME}");
            match self.advice(INSTANCE_NAME, &()).await.context(context)? {
                Reply::Answer(body) => {
                    // Where there is no such route, some servers answer 200 and a web page.
                    let name = String::from_utf8_lossy(&body).trim().trim_matches('"').to_owned();
                    identity.name = Some(name).filter(|name| is_deployment_name(name));
                }
                // An archive would be nameless for ever because of a bad minute.
                Reply::Refused(refusal) if refusal.status >= 500 => return Err(refusal.into_error()).context(context),
                Reply::Refused(_) => {}
            }
        }
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Ok(identity)
    }

    /// Asks for what one can do without.
    pub(in crate::convex) async fn advice(&self, path: &str, query: &(impl Serialize + Sync)) -> Result<Reply> {
        loop {
            let key = self.keys.current();
            let request = self.request(&key, path, query, None::<&()>)?;
            match self.http.send_for_advice(&request, self.advice).await? {
                Reply::Refused(refusal) => {
                    if let Some(refusal) = self.refused(&key, refusal)? {
                        return Ok(Reply::Refused(refusal));
                    }
                }
                answer @ Reply::Answer(_) => return Ok(answer),
            }
        }
    }

    /// Asks once for what is expected to be refused: how. None, if it is answered, or not at all.
    pub(in crate::convex) async fn probe(&self, path: &str, query: &(impl Serialize + Sync)) -> Option<Refusal> {
        refusal(self.once(path, query).await)
    }

    /// Asks once for what one can do without, whatever comes of it: nothing is asked again, and no other key is tried.
    ///
    /// # Errors
    /// Unavailable without any answer within some seconds, Resource if it is too large.
    pub(in crate::convex) async fn once(&self, path: &str, query: &(impl Serialize + Sync)) -> Result<Reply> {
        let request = self.request(&self.keys.current(), path, query, None::<&()>)?;
        self.http.send_once(request, self.advice).await
    }

    /// The same by POST, with an empty object for a body.
    pub(in crate::convex) async fn probe_post(&self, path: &str) -> Option<Refusal> {
        let request = self.http.client().request(Method::POST, self.access.url(path));
        let request = request.header(CONTENT_TYPE, "application/json").body("{}");
        let request = signed(request, &self.keys.current()).build().ok()?;
        refusal(self.http.send_once(request, self.advice).await)
    }

    /// Asks for a page: by GET, or by POST where a selection has to be told.
    pub(in crate::convex) async fn page(
        &self,
        path: &str,
        arguments: &(impl Serialize + Sync),
        selection: Option<&(impl Serialize + Sync)>,
    ) -> Result<Reply<Body>> {
        loop {
            let key = self.keys.current();
            let request = self.request(&key, path, arguments, selection)?;
            match self.http.send_for_page(&request).await? {
                Reply::Refused(refusal) => {
                    if let Some(refusal) = self.refused(&key, refusal)? {
                        return Ok(Reply::Refused(refusal));
                    }
                }
                answer @ Reply::Answer(_) => return Ok(answer),
            }
        }
    }

    /// Asks for a page of which the first `most` bytes are enough, with a selection.
    pub(in crate::convex) async fn beginning(
        &self,
        path: &str,
        arguments: &(impl Serialize + Sync),
        selection: &(impl Serialize + Sync),
        most: u64,
    ) -> Result<Reply> {
        let key = self.keys.current();
        let request = self.request(&key, path, arguments, Some(selection))?;
        self.http.send_for_beginning(&request, most).await
    }

    /// Posts `body`. It may arrive twice, where an answer is lost.
    ///
    /// # Errors
    /// Unavailable without any answer, Resource if it is too large.
    pub(in crate::convex) async fn post(
        &self,
        path: &str,
        query: &(impl Serialize + Sync),
        body: Posted,
    ) -> Result<Reply> {
        loop {
            let key = self.keys.current();
            let request = self.http.client().request(Method::POST, self.access.url(path)).query(query);
            let request = request.header(CONTENT_TYPE, body.content_type).body(body.body.clone());
            let request = signed(request, &key).build().map_err(|e| {
                Error::internal(format!("cannot encode a request for {path}: report it")).with_source(e.without_url())
            })?;
            match self.http.send(&request).await? {
                Reply::Refused(refusal) => {
                    if let Some(refusal) = self.refused(&key, refusal)? {
                        return Ok(Reply::Refused(refusal));
                    }
                }
                answer @ Reply::Answer(_) => return Ok(answer),
            }
        }
    }

    fn request(
        &self,
        key: &DeployKey,
        path: &str,
        arguments: &impl Serialize,
        selection: Option<&impl Serialize>,
    ) -> Result<Request> {
        let unspeakable = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::internal(format!("cannot encode a request for {path}: report it")).with_source(e)
        };
        let (client, url) = (self.http.client(), self.access.url(path));
        let request = match selection {
            None => client.request(Method::GET, url).query(arguments),
            Some(selection) => {
                let body =
                    serde_json::to_vec(&PageRequest { arguments, selection }).map_err(|e| unspeakable(e.into()))?;
                client.request(Method::POST, url).header(CONTENT_TYPE, "application/json").body(body)
            }
        };
        signed(request, key).build().map_err(|e| unspeakable(e.without_url().into()))
    }

    /// The refusal, unless another key has taken the place of the refused one.
    fn refused(&self, key: &DeployKey, refusal: Refusal) -> Result<Option<Refusal>> {
        if refusal.status != 401 {
            return Ok(Some(refusal));
        }
        match self.keys.renew(key, |other| self.opens_the_same(other))? {
            Renewal::Same(tried) => Ok(Some(refusal.tried(tried))),
            Renewal::Renewed(told) => {
                told.iter().for_each(|finding| self.tell(finding));
                Ok(None)
            }
        }
    }

    /// # Errors
    /// Usage, if the key names another deployment.
    fn opens_the_same(&self, key: &DeployKey) -> Result<()> {
        let now = self.access.with_key(key.clone())?.identity();
        let told = self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let told = told.unwrap_or_else(|| self.access.identity());
        if told.is_same(&now) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "it is a key of the deployment {now}, but this run archives {told}: give a key of that deployment"
        )))
    }
}

/// How it was refused, if it was.
fn refusal(reply: Result<Reply>) -> Option<Refusal> {
    match reply {
        Ok(Reply::Refused(refusal)) => Some(refusal),
        Ok(Reply::Answer(_)) | Err(_) => None,
    }
}

/// The request with who asks.
fn signed(request: RequestBuilder, key: &DeployKey) -> RequestBuilder {
    request
        .header(AUTHORIZATION, key.header())
        .header("Convex-Client", HeaderValue::from_static(concat!("convex-archiver-", env!("CARGO_PKG_VERSION"))))
}
