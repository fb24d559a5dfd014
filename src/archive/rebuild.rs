//! What repeats the log, written again where it was lost or damaged: for whoever repairs an archive. And the way back from a joined file to
//! those that it joined.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{Archive, commit::ReplacementReason, files::WantedFiles, head::Head, log, parts};
use crate::{budget::MemoryBudget, data::DataFile, error::Result, layout};

impl Archive {
    /// Writes those of these lists again that `head` names. The paths of those that it wrote.
    ///
    /// # Errors
    /// Corrupt, if the log does not tell them; Access, Unavailable, as the store says.
    pub(crate) async fn rewrite_parts(&self, head: &Head, paths: &BTreeSet<String>) -> Result<Vec<String>> {
        let (mut keys, mut written) = (BTreeSet::new(), Vec::new());
        for state in head.tables() {
            for (name, month) in &state.months {
                let path = layout::part(&state.folder, name, month.version);
                if paths.contains(&path) {
                    keys.insert((state.table.clone(), name.clone()));
                    written.push(path);
                }
            }
        }
        if !keys.is_empty() {
            let live = self.live(head, WantedFiles::Parts(keys)).await?;
            parts::write(self.store(), head, live.into_stream()).await?;
        }
        Ok(written)
    }

    /// The files that each of these files joined, as their commits spoke of them. A file that joined none, or of which that is not known, is
    /// left out. The log is read backwards, until all of them were met.
    ///
    /// # Errors
    /// Corrupt, if a commit is missing or damaged; Access, Unavailable, as the store says.
    pub(crate) async fn inputs_of(
        &self,
        head: &Head,
        joined: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<DataFile>>> {
        let (mut wanted, mut inputs) = (joined.clone(), BTreeMap::<String, Vec<String>>::new());
        let (mut open, mut found) = (BTreeSet::new(), BTreeMap::new());
        let mut commits = stream::iter((1..=head.version()).rev())
            .map(|version| async move { self.log.read(version).await?.ok_or_else(|| log::missing(version)) })
            .buffered(MemoryBudget::COMMITS_AHEAD);
        while let Some(stored) = commits.try_next().await? {
            let (version, draft) = (stored.commit.version, stored.commit.draft);
            for group in draft.replaced {
                let [output] = group.outputs.as_slice() else { continue };
                let is_join = matches!(group.why, ReplacementReason::Compaction | ReplacementReason::Repair);
                if is_join && wanted.remove(output) {
                    open.extend(group.inputs.iter().cloned());
                    inputs.insert(output.clone(), group.inputs);
                }
            }
            for mut file in draft.add {
                // What a run brought itself joined nothing.
                wanted.remove(&file.path);
                if open.remove(&file.path) {
                    file.brought_by.get_or_insert(version);
                    found.insert(file.path.clone(), file);
                }
            }
            if wanted.is_empty() && open.is_empty() {
                break;
            }
        }
        let known = inputs.into_iter().filter_map(|(output, inputs)| {
            let files: Option<Vec<DataFile>> = inputs.iter().map(|path| found.get(path).cloned()).collect();
            Some((output, files?))
        });
        Ok(known.collect())
    }
}
