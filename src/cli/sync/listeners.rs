//! [`ListenerArgs`]: the flags that say who is told of a run.

use std::path::PathBuf;

use clap::Args;
use convex_archiver::ping::Service;

/// Who is told of runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Notifications")]
pub(super) struct ListenerArgs {
    /// Ping a dead man's switch, such as healthchecks.io or a compatible service: URL/start when the run begins, and
    /// URL/CODE with its exit code and its report when it ends. If no run succeeds for a while, the service alerts you.
    /// The URL is a secret; set it in CONVEX_ARCHIVER_PING to keep it off the command line
    #[arg(long, value_name = "URL", env = "CONVEX_ARCHIVER_PING", hide_env_values = true, value_parser = service)]
    pub(super) ping: Option<Service>,
    /// Send the report as JSON to this URL when the run ends, whether or not it succeeded
    #[arg(long, value_name = "URL", env = "CONVEX_ARCHIVER_WEBHOOK", hide_env_values = true, value_parser = service)]
    pub(super) webhook: Option<Service>,
    /// Write metrics of the run and of the archive to this file as OpenMetrics text, for the textfile collector of
    /// Prometheus' node_exporter, which reads files that end in .prom. Use one file per archive
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_file: Option<PathBuf>,
}

fn service(text: &str) -> Result<Service, String> {
    Service::new(text).map_err(|error| error.to_string())
}
