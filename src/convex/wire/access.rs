//! Where the deployment is and what opens it: flags and environment values → [`Access`].
//!
//! # The order of sources
//! 1. `--deployment URL` and `--deploy-key-file FILE` or `--deploy-key-command COMMAND`. If only one of the two is given, the other half is taken from the
//!    environment, where it must be there once.
//! 2. `CONVEX_SELF_HOSTED_URL` with `CONVEX_SELF_HOSTED_ADMIN_KEY`, when either is set.
//! 3. `CONVEX_DEPLOY_KEY` with `CONVEX_URL`.
//! 4. A cloud deploy key (`prod:NAME|…`, `dev:NAME|…`) alone: Convex is asked for the URL, as its own CLI does; custom
//!    domains and regions make it underivable.
//!
//! The values are fields: the library reads no `.env` file, and of the environment two things only. Temporary files go where
//! `TMPDIR` says, and the HTTP client finds its proxies there (`HTTPS_PROXY` and the like). A key is never a flag, and no text that
//! leaves this module contains one.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc};

use derive_setters::Setters;
use reqwest::{Method, Request, header::HeaderValue};
use url::Url;

use super::{
    address::{check_url, cloud_name, join},
    http::{Http, Reply},
    keys::{DeployKey, KeyKind, KeySource, Keys},
    protocol::{DeploymentUrl, URL_FOR_KEY, UrlForKey},
    retry::RetryPolicy,
};
use crate::{
    error::{Error, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::Monitor,
};

/// Where Convex tells which URL a deploy key belongs to.
const CONVEX_API: &str = "https://api.convex.dev";

/// What flags and environment say of the deployment. Empty texts count as absent.
#[derive(Clone, Default, Setters)]
#[non_exhaustive]
pub struct AccessOptions {
    /// `--deployment URL`
    pub deployment: Option<String>,
    /// `--deploy-key-file FILE`
    pub deploy_key_file: Option<PathBuf>,
    /// `--deploy-key-command COMMAND`: a command line that prints the key. Not beside a file.
    pub deploy_key_command: Option<String>,
    /// `CONVEX_SELF_HOSTED_URL`
    pub self_hosted_url: Option<String>,
    /// `CONVEX_SELF_HOSTED_ADMIN_KEY`
    pub self_hosted_admin_key: Option<String>,
    /// `CONVEX_URL`
    pub url: Option<String>,
    /// `CONVEX_DEPLOY_KEY`
    pub deploy_key: Option<String>,
    /// `--allow-http`: send the key unencrypted to another machine.
    pub allow_http: bool,
    /// Where to ask for the URL of a cloud key, instead of `https://api.convex.dev`.
    pub convex_api: Option<String>,
    /// When to give up asking there.
    pub retry: RetryPolicy,
}

impl AccessOptions {
    /// Fills the fields that come from the environment, by `get` (`|name| std::env::var_os(name)`).
    ///
    /// # Errors
    /// Usage, naming a variable that is not UTF-8: it is set, so it must not count as absent.
    pub fn with_environment(mut self, get: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name: &str| {
            let value = get(name).map(OsString::into_string).transpose();
            value.map_err(|_| Error::usage(format!("{name} is not valid UTF-8: set it again")))
        };
        self.self_hosted_url = text("CONVEX_SELF_HOSTED_URL")?;
        self.self_hosted_admin_key = text("CONVEX_SELF_HOSTED_ADMIN_KEY")?;
        self.url = text("CONVEX_URL")?;
        self.deploy_key = text("CONVEX_DEPLOY_KEY")?;
        Ok(self)
    }

    /// Finds the deployment and the key, in the order of the module's header. Asks nobody, except Convex for the URL of a
    /// cloud key that comes alone.
    ///
    /// # Errors
    /// Usage, naming the flag or variable; Access or Unavailable where Convex does not tell the URL.
    pub async fn resolve(&self, monitor: Arc<dyn Monitor>) -> Result<Access> {
        let (url, key) = self.sources()?;
        let (source, url) = match url {
            Some(told) => told,
            None => ("the URL that Convex returned for this deploy key", self.ask_for_url(&key, monitor).await?),
        };
        let access = Access::new(&url, key, self.allow_http).context(|| source)?;
        // A file or a command, where one is named, is where the key came from.
        Ok(Access { key_source: self.key_source(), ..access })
    }

    /// The flag or variable that the key comes from, in the order of the module's header.
    pub fn key_origin(&self) -> &'static str {
        let is_hosted = self.self_hosted_admin_key.as_ref().is_some_and(|key| !key.trim().is_empty());
        match self.key_source() {
            Some(KeySource::File(_)) => "--deploy-key-file",
            Some(KeySource::Command(_)) => "--deploy-key-command",
            None if is_hosted => "CONVEX_SELF_HOSTED_ADMIN_KEY",
            None => "CONVEX_DEPLOY_KEY",
        }
    }

    fn key_source(&self) -> Option<KeySource> {
        let command = || self.deploy_key_command.clone().map(KeySource::Command);
        self.deploy_key_file.clone().map(KeySource::File).or_else(command)
    }

    /// The URL with the name of its source, if there is one, and the key.
    fn sources(&self) -> Result<(Option<(&'static str, String)>, DeployKey)> {
        let text = |value: &Option<String>| value.as_ref().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let flag_url = text(&self.deployment).map(|url| ("--deployment", url));
        let hosted_url = text(&self.self_hosted_url).map(|url| ("CONVEX_SELF_HOSTED_URL", url));
        let cloud_url = text(&self.url).map(|url| ("CONVEX_URL", url));
        let hosted_key = text(&self.self_hosted_admin_key).map(|key| ("CONVEX_SELF_HOSTED_ADMIN_KEY", key));
        let cloud_key = text(&self.deploy_key).map(|key| ("CONVEX_DEPLOY_KEY", key));
        let key_of = |(source, key): (&'static str, String)| DeployKey::new(&key).context(|| source);

        match (flag_url, self.key_source().map(|source| source.key()).transpose()?) {
            (Some(url), Some(key)) => return Ok((Some(url), key)),
            (Some(url), None) => {
                let key = one_of(hosted_key, cloud_key, "--deploy-key-file")?.ok_or_else(|| {
                    Error::usage("--deployment needs a key: give --deploy-key-file, or set CONVEX_DEPLOY_KEY")
                })?;
                return Ok((Some(url), key_of(key)?));
            }
            (None, Some(key)) => return Ok((one_of(hosted_url, cloud_url, "--deployment")?, key)),
            (None, None) => {}
        }
        match (hosted_url, hosted_key) {
            (Some(url), Some(key)) => return Ok((Some(url), key_of(key)?)),
            (Some(_), None) => {
                return Err(Error::usage(
                    "CONVEX_SELF_HOSTED_URL is set, so CONVEX_SELF_HOSTED_ADMIN_KEY is needed too",
                ));
            }
            (None, Some(_)) => {
                return Err(Error::usage(
                    "CONVEX_SELF_HOSTED_ADMIN_KEY is set, so CONVEX_SELF_HOSTED_URL is needed too",
                ));
            }
            (None, None) => {}
        }
        match (cloud_url, cloud_key) {
            (url, Some(key)) => Ok((url, key_of(key)?)),
            (Some(_), None) => Err(Error::usage(
                "CONVEX_URL is set, but there is no key: set CONVEX_DEPLOY_KEY, or give --deploy-key-file",
            )),
            (None, None) => Err(Error::usage(
                "which deployment? Give --deployment URL and --deploy-key-file FILE, or set CONVEX_DEPLOY_KEY (self-hosted: \
                 CONVEX_SELF_HOSTED_URL and CONVEX_SELF_HOSTED_ADMIN_KEY)",
            )),
        }
    }

    async fn ask_for_url(&self, key: &DeployKey, monitor: Arc<dyn Monitor>) -> Result<String> {
        if !matches!(key.kind(), KeyKind::Cloud(_)) {
            return Err(Error::usage(
                "the deployment's URL cannot be derived from this deploy key (only from keys like prod:NAME|… and \
                 dev:NAME|…): give --deployment, or set CONVEX_URL. A key without `|` was not copied completely",
            ));
        }
        let base = self.convex_api.as_deref().unwrap_or(CONVEX_API);
        let base = check_url(base, false).context(|| "the address of Convex's own API")?;
        let host = base.host_str().unwrap_or_default().to_owned();
        let keys = Arc::new(Keys::new(key.clone(), None));
        let http = Http::new(&host, keys, self.retry, 64 << 10, &base, monitor)?;
        let mut request = Request::new(Method::POST, join(&base, URL_FOR_KEY));
        let body = serde_json::to_vec(&UrlForKey { deploy_key: key.text() })
            .map_err(|e| Error::internal("cannot encode a request").with_source(e))?;
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        let context = || format!("POST {base}{}", URL_FOR_KEY.trim_start_matches('/'));
        let body = match http.send(&request).await.context(context)? {
            Reply::Answer(body) => body,
            Reply::Refused(refusal) if refusal.may_pass() => {
                return Err(Error::unavailable(format!(
                    "{host}, which is asked for the URL of a deploy key, is not available: run again later, or give \
                     --deployment to skip that request (it answered {refusal})"
                )))
                .context(context);
            }
            Reply::Refused(refusal) => {
                return Err(Error::access(format!(
                    "Convex does not know the URL of this deploy key: check the key, or give --deployment ({host} \
                     answered {refusal})"
                )))
                .context(context);
            }
        };
        match serde_json::from_slice(&body) {
            Ok(DeploymentUrl::Plain(url) | DeploymentUrl::Named { url }) => Ok(url),
            Err(_) => {
                let error = Error::protocol("the answer is neither a URL nor {\"url\": …}: give --deployment instead");
                Err(error).context(context)
            }
        }
    }
}

/// Shows no key.
impl fmt::Debug for AccessOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessOptions").field("deploy_key_file", &self.deploy_key_file).finish_non_exhaustive()
    }
}

/// The one that is there.
fn one_of(
    a: Option<(&'static str, String)>,
    b: Option<(&'static str, String)>,
    flag: &str,
) -> Result<Option<(&'static str, String)>> {
    match (a, b) {
        (Some((a, _)), Some((b, _))) => Err(Error::usage(format!(
            "{a} and {b} are both set, and it is unclear which one is meant: give {flag} too"
        ))),
        (a, b) => Ok(a.or(b)),
    }
}

/// A deployment's address and the key to it.
///
/// Guarantee: the address is https, or http to this machine unless http was allowed; on Convex's cloud its name is the
/// one in the key, where the key has one.
#[derive(Debug, Clone)]
pub struct Access {
    base: Url,
    key: DeployKey,
    /// Where the key came from, to be got again should it be refused.
    key_source: Option<KeySource>,
}

impl Access {
    /// An address and its key. Nothing is asked of anybody.
    ///
    /// # Errors
    /// Usage, if the address cannot be a deployment's, is plain http to another machine, or names another deployment than
    /// the key.
    pub fn new(url: &str, key: DeployKey, allow_http: bool) -> Result<Self> {
        let base = check_url(url, allow_http)?;
        Self { base, key: key.clone(), key_source: None }.with_key(key)
    }

    /// The same address, opened by another key.
    pub(super) fn with_key(&self, key: DeployKey) -> Result<Self> {
        if let (Some(host), Some(named)) = (cloud_name(&self.base), key.deployment())
            && !host.eq_ignore_ascii_case(named)
        {
            return Err(Error::usage(format!(
                "the URL is that of deployment {host}, but the deploy key is for {named}: use a URL and a key of the \
                 same deployment (is an old URL left in the environment?)"
            )));
        }
        Ok(Self { key, ..self.clone() })
    }

    /// Who the deployment is, as far as address and key tell.
    pub fn identity(&self) -> DeploymentIdentity {
        let name = cloud_name(&self.base).or(self.key.deployment()).map(str::to_owned);
        DeploymentIdentity { name, origin: self.base.origin().ascii_serialization() }
    }

    /// The address of `path`, which begins with `/`.
    pub(super) fn url(&self, path: &str) -> Url {
        join(&self.base, path)
    }

    /// The key, and where another one may come from.
    pub(super) fn keys(&self) -> Keys {
        Keys::new(self.key.clone(), self.key_source.clone())
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
