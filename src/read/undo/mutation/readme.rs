//! The file `README.txt` beside the batches: how to call the mutation.

use std::fmt::Write;

use super::{super::options::UndoOptions, UndoBatches};
use crate::{
    archive::{Archive, Head},
    read::restore::entries::component_folder,
    rows::moment::in_full,
};

/// Its text. `put_back` is how many documents no mutation can bring back.
pub(super) fn text(
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    written: &UndoBatches,
    put_back: u64,
    components: &[String],
) -> String {
    let mut text = format!(
        "An undo for the Convex deployment {}, as a mutation.\n\n\
         It undoes changes made after {}, up to {}:\n\
         it replaces {} and deletes {} documents. A document that has changed since\n\
         {} is left alone, and its id is printed.\n\n\
         Written by convex-archiver from the archive {}, version {}\n({}).\n\n\
         1. Copy undo.ts into the folder convex/ of the app{}, and deploy the app.\n\
         2. Call the mutation once for each batch, from a shell in the app's folder, with the path of this folder in \
         $UNDO. Add --prod or\n   \
         --deployment as for any `npx convex run`:\n\n",
        head.deployment(),
        in_full(options.from),
        in_full(options.to),
        written.replaced,
        written.deleted,
        in_full(options.now),
        archive.url(),
        head.version(),
        head.digest(),
        if components.iter().any(|component| !component.is_empty()) { ", or of the component" } else { "" },
    );
    for component in components {
        let flag = if component.is_empty() { String::new() } else { format!("--component {component} ") };
        // A String takes everything.
        let _ = writeln!(
            text,
            "   for batch in \"$UNDO\"/{}batches/*.json; do npx convex run {flag}undo:apply \"$(cat \"$batch\")\" || break; done",
            component_folder(component)
        );
    }
    if written.large > 0 {
        let _ = writeln!(
            text,
            "\n   {} of the batches have a document that is too large for a command line (\"Argument list too long\"). \
             Call the mutation\n   \
             with all batches in this way instead:\n",
            written.large
        );
    } else {
        text.push_str(
            "\n   If a batch is too long for the command line (on Windows), or if there are many batches, \
            this does the same:\n\n",
        );
    }
    for component in components {
        let variable = if component.is_empty() { String::new() } else { format!("COMPONENT={component} ") };
        let _ = writeln!(
            text,
            "   {variable}CONVEX_URL=https://… CONVEX_DEPLOY_KEY=… node \"$UNDO\"/apply.mjs \"$UNDO\"/{}batches/*.json",
            component_folder(component)
        );
    }
    text.push_str(
        "\n3. Remove undo.ts again.\n\nEach batch is one transaction. Calling a batch a second time changes nothing, \
         because it no longer finds the documents as expected.\n",
    );
    if put_back > 0 {
        let _ = writeln!(
            text,
            "\nNOT undone: {put_back} deleted documents. A mutation cannot give a document its old _id. For those, write the ZIP\n\
             (`convex-archiver restore --undo` without --as mutation) and import it with --replace."
        );
    }
    text
}
