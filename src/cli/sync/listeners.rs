//! [`ListenerArgs`]: the flags that say who is told of a run.

use std::path::PathBuf;

use clap::Args;
use convex_archiver::ping::Service;

/// Who is told of runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who is told of the run")]
pub(super) struct ListenerArgs {
    /// A dead man's switch, as healthchecks.io and what speaks like it understand it: URL/start when the run begins, URL/CODE with its exit code
    /// and its report when it ends. If no run ends well for a while, the service wakes you. The URL is a secret: CONVEX_ARCHIVER_PING keeps it off the command line
    #[arg(long, value_name = "URL", env = "CONVEX_ARCHIVER_PING", hide_env_values = true, value_parser = service)]
    pub(super) ping: Option<Service>,
    /// Send the report as JSON to this URL when the run has ended, however it ended
    #[arg(long, value_name = "URL", env = "CONVEX_ARCHIVER_WEBHOOK", hide_env_values = true, value_parser = service)]
    pub(super) webhook: Option<Service>,
    /// Write metrics of the run and of the archive to this file, as OpenMetrics text: for the textfile collector of Prometheus' node_exporter, whose files
    /// end in .prom. One file for each archive
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_file: Option<PathBuf>,
}

fn service(text: &str) -> Result<Service, String> {
    Service::new(text).map_err(|error| error.to_string())
}
