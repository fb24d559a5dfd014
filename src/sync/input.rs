//! What a run is given.

use std::sync::Arc;

use super::{clock::Clock, options::SyncOptions};
use crate::{
    archive::Archive,
    convex::{Shapes, Source},
    monitor::Monitor,
};

/// What a run is given.
pub(super) struct RunInput<'a> {
    pub(super) source: Arc<dyn Source>,
    pub(super) archive: &'a Archive,
    pub(super) shapes: Shapes,
    pub(super) options: &'a SyncOptions,
    pub(super) monitor: Arc<dyn Monitor>,
    pub(super) clock: Arc<Clock>,
}
