//! The text of an answer: small ones are held, large ones lie in a temporary file.
//!
//! # Why a file
//! list_snapshot counts rows and not bytes: 1,024 documents of 1 MiB are one answer of 1 GiB and more, and nothing of an
//! answer counts before its end was seen. So what grows beyond its share of memory is written out while it arrives, and
//! read back one document after another.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    convex::span::DocumentSpan,
    error::{Error, Result, ResultExt},
    temporary,
};

/// Bytes that are written or read at a time.
pub(in crate::convex) const BLOCK: usize = 1 << 20;

/// The text of a whole answer. Clones are the same text.
#[derive(Debug, Clone)]
pub struct Body(BodyPlace);

/// Where the text of a body lies.
#[derive(Debug, Clone)]
pub(in crate::convex) enum BodyPlace {
    Memory(Bytes),
    /// In a temporary file.
    Spooled(Arc<Spool>),
}

impl From<Bytes> for Body {
    fn from(text: Bytes) -> Self {
        Self(BodyPlace::Memory(text))
    }
}

impl Body {
    /// Its length, bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            BodyPlace::Memory(text) => text.len() as u64,
            BodyPlace::Spooled(spool) => spool.length,
        }
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is held in memory; `None` if it lies in a temporary file.
    pub fn held(&self) -> Option<&Bytes> {
        match &self.0 {
            BodyPlace::Memory(text) => Some(text),
            BodyPlace::Spooled(_) => None,
        }
    }

    /// Reads the whole text, from its beginning.
    pub(in crate::convex) fn reader(&self) -> Box<dyn Read + '_> {
        match &self.0 {
            BodyPlace::Memory(text) => Box::new(&text[..]),
            BodyPlace::Spooled(spool) => Box::new(SpoolReader { spool, at: 0 }),
        }
    }

    /// Where the text lies.
    pub(in crate::convex) fn place(&self) -> &BodyPlace {
        &self.0
    }

    /// Reads documents of it.
    pub(in crate::convex) fn texts(&self) -> Result<Texts<'_>> {
        Ok(Texts(match &self.0 {
            BodyPlace::Memory(text) => TextPlace::Memory(utf8(text)?),
            BodyPlace::Spooled(spool) => TextPlace::Spooled(Window::new(spool)),
        }))
    }
}

/// Reads the documents of a page; cheapest in their order. Of a page that lies in a file it holds a block or one document,
/// whichever is longer.
#[derive(Debug)]
pub struct Texts<'a>(TextPlace<'a>);

#[derive(Debug)]
enum TextPlace<'a> {
    Memory(&'a str),
    Spooled(Window<'a>),
}

impl Texts<'_> {
    /// The text of one document, braces included.
    ///
    /// # Errors
    /// Resource, if the temporary file cannot be read.
    pub fn text(&mut self, document: &DocumentSpan) -> Result<&str> {
        let range = document.range.clone();
        let text = match &mut self.0 {
            TextPlace::Memory(text) => text.get(range),
            TextPlace::Spooled(window) => Some(utf8(window.bytes(range.start as u64, range.len())?)?),
        };
        text.filter(|text| text.len() == document.range.len())
            .ok_or_else(|| Error::internal("a document lies outside its page"))
    }
}

fn utf8(text: &[u8]) -> Result<&str> {
    simdutf8::basic::from_utf8(text).map_err(|e| Error::protocol("a page is not UTF-8").with_source(e))
}

/// A text in a temporary file.
#[derive(Debug)]
pub(in crate::convex) struct Spool {
    /// With the place at which it is read.
    file: Mutex<File>,
    length: u64,
}

impl Spool {
    pub(in crate::convex) fn new(file: File, length: u64) -> Self {
        Self { file: Mutex::new(file), length }
    }

    /// The length of the text, bytes.
    pub(in crate::convex) fn length(&self) -> u64 {
        self.length
    }

    /// Fills `block` with the text from `from` on.
    fn read(&self, from: u64, block: &mut [u8]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(block)).map_err(temporary::failed)
    }
}

/// Reads a spooled text from its beginning.
struct SpoolReader<'a> {
    spool: &'a Spool,
    at: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, block: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.spool.length - self.at).unwrap_or(usize::MAX);
        let most = block.len().min(left);
        self.spool.read(self.at, &mut block[..most]).map_err(std::io::Error::other)?;
        self.at += most as u64;
        Ok(most)
    }
}

/// The part of a spooled text that was read last.
#[derive(Debug)]
pub(in crate::convex) struct Window<'a> {
    spool: &'a Spool,
    text: Vec<u8>,
    /// Where it begins.
    at: u64,
}

impl<'a> Window<'a> {
    pub(in crate::convex) fn new(spool: &'a Spool) -> Self {
        Self { spool, text: Vec::new(), at: 0 }
    }

    /// `length` bytes from `from` on, fewer where the text ends before.
    pub(in crate::convex) fn bytes(&mut self, from: u64, length: usize) -> Result<&[u8]> {
        let left = self.spool.length.saturating_sub(from);
        let upto = |most: usize| usize::try_from(left).unwrap_or(usize::MAX).min(most);
        let length = upto(length);
        if from < self.at || from + length as u64 > self.at + self.text.len() as u64 {
            self.text.resize(upto(length.max(BLOCK)), 0);
            self.spool.read(from, &mut self.text)?;
            self.at = from;
        }
        let begin = (from - self.at) as usize;
        Ok(&self.text[begin..begin + length])
    }
}

/// A body on its way, piece by piece.
pub(in crate::convex) struct ArrivingBody {
    held: Vec<u8>,
    /// What is held at most: the share of memory; of a body that is spooled, a block.
    most: usize,
    file: Option<File>,
    length: u64,
}

impl ArrivingBody {
    /// One of which `memory` bytes may be held. What it announces spares the doubling, and is not trusted with more than it
    /// can be worth.
    pub(in crate::convex) fn new(announced: Option<u64>, memory: u64) -> Self {
        let most = usize::try_from(memory).unwrap_or(usize::MAX);
        let most = if announced.is_some_and(|length| length > memory) { most.min(BLOCK) } else { most };
        let capacity = announced.map_or(64 << 10, |length| length as usize).min(most);
        Self { held: Vec::with_capacity(capacity), most, file: None, length: 0 }
    }

    pub(in crate::convex) fn length(&self) -> u64 {
        self.length
    }

    /// # Errors
    /// Resource, if there is no room for a temporary file.
    pub(in crate::convex) async fn push(&mut self, piece: &[u8]) -> Result<()> {
        self.length += piece.len() as u64;
        if self.held.len() + piece.len() > self.most {
            self.spool().await?;
        }
        let length = self.held.len() + piece.len();
        if length > self.held.capacity() {
            let capacity = (2 * self.held.capacity()).min(self.most).max(length);
            self.held.reserve_exact(capacity - self.held.len());
        }
        self.held.extend_from_slice(piece);
        Ok(())
    }

    /// Writes out what is held.
    async fn spool(&mut self) -> Result<()> {
        let (held, file) = (std::mem::take(&mut self.held), self.file.take());
        let write = move || {
            let mut file = file.map_or_else(temporary::file, Ok)?;
            file.write_all(&held).map_err(temporary::failed)?;
            Ok(file)
        };
        let size = self.length >> 20;
        let file = blocking(write).await.context(|| format!("an answer of more than {size} MiB"))?;
        self.file = Some(file);
        self.most = self.most.min(BLOCK);
        Ok(())
    }

    /// All of it has come.
    pub(in crate::convex) async fn finish(mut self) -> Result<Body> {
        if self.file.is_some() {
            self.spool().await?;
        }
        Ok(Body(match self.file {
            None => BodyPlace::Memory(Bytes::from(self.held)),
            Some(file) => BodyPlace::Spooled(Arc::new(Spool::new(file, self.length))),
        }))
    }
}

/// Files block.
pub(in crate::convex) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("work on a temporary file panicked").with_source(e))?
}
