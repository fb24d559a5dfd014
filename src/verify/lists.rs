//! The lists of live files (parts) that written heads name: each is read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};

use super::report::{Problem, ProblemKind, Repair, Suffers};
use crate::{
    archive::{Archive, Head, ListPart},
    error::{ErrorKind, Result},
};

/// Lists that are read at the same time: of each the files of one table in one month are held.
const AT_ONCE: usize = 4;

/// What is known of lists.
#[derive(Default)]
pub(super) struct Lists {
    /// Those that the last checkpoint named: what it shares with the next one is not read again.
    before: BTreeSet<String>,
    /// Those that are missing, of the newest checkpoint and of the manifest: others are not needed any more.
    missing: BTreeMap<String, Problem>,
    of_manifest: BTreeMap<String, Problem>,
    /// Those that are told to be damaged: two heads may name one.
    told: BTreeSet<String>,
    pub(super) sound: u64,
}

impl Lists {
    /// Compares the lists that `head` names with it; `checkpoint` is its number, if it is one of a checkpoint.
    pub(super) async fn check(
        &mut self,
        archive: &Archive,
        head: &Head,
        checkpoint: Option<u64>,
        found: &mut Vec<(Option<u64>, Problem)>,
    ) -> Result<()> {
        let named: BTreeSet<String> = Archive::parts_of(head).map(|part| part.path()).collect();
        let wanted: Vec<_> = Archive::parts_of(head).filter(|part| !self.before.contains(&part.path())).collect();
        let archive = Arc::new(archive);
        let read: Vec<(ListPart, Option<String>, bool)> = stream::iter(wanted)
            .map(|part| {
                let archive = Arc::clone(&archive);
                async move {
                    match archive.found_part(&part).await {
                        Ok(is_there) => Ok((part, None, is_there)),
                        Err(error) if error.kind() == ErrorKind::Corrupt => Ok((part, Some(error.to_string()), true)),
                        Err(error) => Err(error),
                    }
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut missing = BTreeMap::new();
        for (part, why, is_there) in read {
            match (why, is_there) {
                (Some(why), _) => {
                    if self.told.insert(part.path()) {
                        found.push((None, part_problem(&part, why)));
                    }
                }
                (None, true) => self.sound += 1,
                (None, false) => {
                    let why = format!("{} is missing; it only repeats what the commits contain", part.path());
                    drop(missing.insert(part.path(), part_problem(&part, why)));
                }
            }
        }
        if checkpoint.is_some() {
            self.missing.retain(|path, _| named.contains(path));
            self.missing.append(&mut missing);
            self.before = named;
        } else {
            // Those that it shares with the last checkpoint are known.
            let shared = self.missing.iter().filter(|(path, _)| named.contains(*path));
            missing.extend(shared.map(|(path, problem)| (path.clone(), problem.clone())));
            self.of_manifest = missing;
        }
        Ok(())
    }

    /// All heads were seen.
    pub(super) fn end(&mut self, found: &mut Vec<(Option<u64>, Problem)>) {
        let mut missing = std::mem::take(&mut self.missing);
        missing.append(&mut self.of_manifest);
        found.extend(missing.into_values().map(|problem| (None, problem)));
    }
}

fn part_problem(part: &ListPart, why: String) -> Problem {
    let mut problem = Problem::new(ProblemKind::Part, part.path(), Suffers::Nothing, why);
    problem.table = Some(part.key.0.clone());
    problem.repairs([Repair::Rewrite])
}
