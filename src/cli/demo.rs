//! The verb `demo`.
use super::{exit::Outcome, telemetry::Screen};
use clap::Args;
use convex_archiver::Result;
/// TODO
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}
pub(super) async fn run(_args: &DemoArgs, _screen: &Screen) -> Result<Outcome> {
    Ok(Outcome::Done)
}
