//! Splits a page, wherever its text lies.

use std::sync::Arc;

use super::split::{MAX_DOCUMENT, Parts, Splitter, split};
use crate::{
    convex::wire::body::{BLOCK, Body, BodyPlace, Spool, Window, blocking},
    error::{Result, ResultExt},
    position::Phase,
};

/// Finds the documents in a whole answer, as [`split()`] does.
pub(super) async fn split_body(body: &Body, phase: Phase) -> Result<Parts> {
    match body.place() {
        BodyPlace::Memory(text) => split(text, phase),
        BodyPlace::Spooled(spool) => {
            let spool = Arc::clone(spool);
            blocking(move || split_spool(&spool, phase, BLOCK)).await
        }
    }
}

/// Takes the text through a window of `size` bytes that grows to one document.
pub(super) fn split_spool(spool: &Spool, phase: Phase, mut size: usize) -> Result<Parts> {
    let (mut splitter, mut window) = (Splitter::new(phase), Window::new(spool));
    let mut done = 0;
    loop {
        let text = window.bytes(done, size)?;
        let last = done + text.len() as u64 == spool.length();
        let part = || format!("in the part of the answer from byte {done} on");
        let taken = splitter.take(text, done as usize, last).context(part)?;
        match taken.stopped {
            None if last => return splitter.finish(),
            Some(error) if last || (taken.bytes == 0 && size >= MAX_DOCUMENT) => return Err(error).context(part),
            // Not even one document is whole.
            _ if taken.bytes == 0 => size *= 2,
            _ => {}
        }
        done += taken.bytes as u64;
    }
}
