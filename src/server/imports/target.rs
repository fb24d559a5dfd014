//! What the routes need of a deployment into which is imported.

use std::path::Path;

use crate::error::Result;

/// A deployment that takes imports.
pub trait TakesImports: Send + Sync {
    /// Reads a snapshot ZIP and begins to import it. `mode` is spelled as Convex spells it: `requireEmpty`, `append`, `replace` or
    /// `replaceAll`. Nothing is written yet.
    ///
    /// # Errors
    /// Usage, if the ZIP or the mode would be refused: the message is for whoever imports.
    fn prepare(&self, zip: &Path, mode: &str) -> Result<Box<dyn PreparedImport>>;
}

/// An import that waits to be performed. Dropped, it is cancelled.
pub trait PreparedImport: Send {
    /// What is asked before it is performed; empty if nothing is lost by it.
    fn question(&self) -> String;

    /// Writes the next documents, and tells how many; None once all are written.
    ///
    /// # Errors
    /// Usage, if one of them is refused: the import has failed then.
    fn write(&mut self) -> Result<Option<u64>>;

    /// Lets them be seen.
    ///
    /// # Errors
    /// Usage, if the tables cannot take their places.
    fn finish(self: Box<Self>) -> Result<()>;
}
