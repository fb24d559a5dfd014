//! Addresses of deployments: which ones are allowed, and what they tell.

use url::{Host, Url};

use super::keys::is_deployment_name;
use crate::error::{Error, Result};

/// `path` below `base`, also where a proxy serves the deployment below a path of its own.
pub(super) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Whether it is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// `NAME` of `NAME.convex.cloud` and `NAME.REGION.convex.cloud`.
pub(super) fn cloud_name(url: &Url) -> Option<&str> {
    let labels = url.host_str()?.strip_suffix(".convex.cloud")?;
    let (name, region) = labels.split_once('.').unwrap_or((labels, ""));
    (!name.is_empty() && !region.contains('.')).then_some(name)
}

pub(super) fn check_url(text: &str, allow_http: bool) -> Result<Url> {
    let text = text.trim();
    // Before anything is shown: a key pasted into the wrong place must not end in a log.
    if text.contains('|') {
        return Err(Error::usage(
            "this looks like a deploy key, not like a URL: keys go to --deploy-key-file or CONVEX_DEPLOY_KEY",
        ));
    }
    if text.contains('@') {
        return Err(Error::usage(
            "the URL contains a user name or password, which a deployment does not accept: remove it",
        ));
    }
    if !text.contains("://") {
        let local = text.starts_with("localhost") || text.starts_with("127.");
        let scheme = if local { "http" } else { "https" };
        // What has no dot may be a piece of a key.
        if !local && !text.contains('.') {
            return Err(Error::usage(
                "the deployment is not a URL: give the whole URL, such as https://happy-otter-123.convex.cloud",
            ));
        }
        return Err(Error::usage(format!("`{text}` lacks its scheme: did you mean {scheme}://{text}?")));
    }
    let mut url = Url::parse(text).map_err(|e| Error::usage(format!("`{text}` is not a URL ({e})")))?;
    // The same host: DNS takes both spellings, and names are compared without the dot.
    if let Some(host) = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned) {
        url.set_host(Some(&host)).map_err(|e| Error::usage(format!("`{text}` is not a URL ({e})")))?;
    }
    if url.host_str() == Some("dashboard.convex.dev") {
        // https://dashboard.convex.dev/d/NAME, or https://dashboard.convex.dev/t/TEAM/PROJECT/NAME/…
        let mut segments = url.path_segments().into_iter().flatten().skip_while(|part| *part != "d");
        let name = segments.nth(1).filter(|name| is_deployment_name(name)).unwrap_or("NAME");
        return Err(Error::usage(format!(
            "this is the dashboard's URL: give the deployment's own URL, https://{name}.convex.cloud, which its \
             settings show; with a deploy key of Convex's cloud it may be omitted"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::usage("the URL has a part after `?` or `#`: give only the deployment's address"));
    }
    if url.host_str().is_some_and(|host| host.ends_with(".convex.site")) {
        return Err(Error::usage(format!(
            "`{text}` serves the deployment's HTTP actions: give the URL that ends with .convex.cloud"
        )));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_http || is_loopback(&url) => Ok(url),
        "http" => Err(Error::usage(format!(
            "`{text}` would send the deploy key unencrypted: use https, or add --allow-http if the network is your own"
        ))),
        other => Err(Error::usage(format!("a deployment's URL begins with https://, not {other}://"))),
    }
}
