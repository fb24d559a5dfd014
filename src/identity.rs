//! Who a deployment is, so that an archive never mixes two of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The deployment that an archive belongs to. Recorded in `archive.json`; a source with another one is refused, because
/// a delta cursor is only a time: every deployment would accept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentIdentity {
    /// The deployment's name, `happy-otter-123`, where the key, the host or the server tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Scheme, host and port, `https://happy-otter-123.convex.cloud`.
    pub origin: String,
}

impl DeploymentIdentity {
    /// Whether both are the same deployment. On `*.convex.cloud` the name decides (it is in every region's host); everywhere
    /// else, custom domains included, origin and name must agree, since self-hosted deployments commonly bear the same
    /// name.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.is_cloud() && other.is_cloud() && self.name.is_some() {
            return self.name == other.name;
        }
        self.origin == other.origin && (self.name == other.name || self.name.is_none() || other.name.is_none())
    }

    fn is_cloud(&self) -> bool {
        self.origin.ends_with(".convex.cloud")
    }
}

/// `happy-otter-123 (https://happy-otter-123.convex.cloud)`
impl fmt::Display for DeploymentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.origin),
            None => f.write_str(&self.origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: Option<&str>, origin: &str) -> DeploymentIdentity {
        DeploymentIdentity { name: name.map(Into::into), origin: origin.into() }
    }

    #[test]
    fn self_hosted_deployments_of_one_name_differ_by_origin_and_cloud_ones_by_name() {
        let local = identity(Some("anonymous"), "http://127.0.0.1:3210");
        assert!(local.is_same(&local));
        assert!(local.is_same(&identity(None, "http://127.0.0.1:3210")));
        assert!(!local.is_same(&identity(Some("anonymous"), "http://127.0.0.1:3220")));
        let otter = identity(Some("otter-1"), "https://otter-1.convex.cloud");
        assert!(otter.is_same(&identity(Some("otter-1"), "https://otter-1.eu-west-1.convex.cloud")));
        assert!(!otter.is_same(&identity(Some("otter-2"), "https://otter-2.convex.cloud")));
    }
}
