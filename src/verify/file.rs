//! A live file that is not as it should be: what suffers from it, and what repairs it. Pure.

use super::report::{Problem, ProblemKind, Repair, Suffers};
use crate::{
    archive::{Covers, Head},
    data::DataFile,
    document::Timestamp,
};

/// What is wrong with a live file.
pub(super) fn file_problem(head: &Head, file: &DataFile, what: impl Into<String>) -> Problem {
    let suffers = suffers(head, file);
    let mut problem = Problem::new(ProblemKind::File, &file.path, suffers, what);
    problem.table = Some(file.table.clone());
    (problem.from, problem.to, problem.revisions) = (Some(file.min_ts), Some(file.max_ts), Some(file.rows));
    // The files that a joined one had joined stay for some days.
    let rewrite = (file.joined > 0 || !head.shows(file)).then_some(Repair::Rewrite);
    let rebase = (suffers == Suffers::State).then(|| Repair::Rebase(file.table.clone()));
    problem.repairs(rewrite.into_iter().chain([Repair::Copy, Repair::AcceptLoss]).chain(rebase))
}

/// What suffers if a live file cannot be read.
fn suffers(head: &Head, file: &DataFile) -> Suffers {
    let through = head.progress().delta.as_ref().map_or(Timestamp(i64::MIN), |delta| delta.ts);
    let current = match head.coverage().covers(&file.table, through) {
        Covers::Covered(base) => Some(base),
        Covers::NotCovered(_) => None,
    };
    match &file.base {
        None if current.is_some_and(|base| file.max_ts > base.ts) => Suffers::State,
        None => Suffers::History,
        Some(id) => {
            // The base that is being made will be the newest one.
            let is_open = head.progress().walk.as_ref().is_some_and(|walk| walk.base == *id);
            let is_marked = file.repeats && !head.coverage().unmarked.contains(id);
            if is_open || current.is_some_and(|base| base.id == *id) {
                Suffers::State
            } else if is_marked || !head.shows(file) {
                Suffers::Nothing
            } else {
                Suffers::History
            }
        }
    }
}
