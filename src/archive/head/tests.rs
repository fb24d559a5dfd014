//! Commits that keep the guarantees, and each way to break one.

use super::{base::*, *};
use crate::{
    archive::{
        commit::{Commit, Draft, LeftOut, RemovedFile, Replacement, ReplacementReason},
        testing::{
            self, base_id, cursor, delta, draft, entry, first_draft, join, next_draft, removed, snapshot, table, walk,
        },
    },
    error::ErrorKind,
    position::{DeltaCursor, Phase, Position, Scope, Walk},
};

fn start() -> Head {
    Head::before_all(testing::deployment(), "0".into()).unwrap()
}

fn run(version: u64) -> Run {
    Run { id: "00000000".into(), counter: version }
}

/// The commit that follows with `draft`, which is a good one.
fn follow(head: &Head, draft: Draft) -> Commit {
    head.follow(draft, run(head.version + 1), None).unwrap().0
}

fn after(head: &Head, draft: Draft) -> Head {
    let (commit, next) = head.follow(draft, run(head.version + 1), None).unwrap();
    let applied = head.clone().apply(&commit, commit.version.to_string()).unwrap();
    assert_eq!(applied, next.with_digest(commit.version.to_string()));
    applied
}

/// The fixed history up to `version`.
fn at(version: u64) -> Head {
    (0..version).fold(start(), |head, _| after(&head, next_draft(&head)))
}

fn refused(head: &Head, commit: &Commit) -> String {
    let error = head.clone().apply(commit, "x".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    error.to_string()
}

fn refused_draft(head: &Head, draft: Draft) -> String {
    head.follow(draft, run(head.version + 1), None).unwrap_err().to_string()
}

#[test]
fn sums_follow_the_files_from_the_walk_to_the_deltas() {
    let head = at(1);
    let a = head.table(&table("a")).unwrap();
    assert_eq!((a.unfinished.files, a.base.files, head.visible().files, head.live().files), (1, 0, 0, 1));
    let head = at(2);
    let a = head.table(&table("a")).unwrap();
    assert_eq!((a.unfinished.files, a.base.files, a.base.rows), (0, 2, 4));
    let head = at(40);
    let files = testing::expected_files(40);
    assert_eq!(head.live().files, files.len() as u64);
    assert_eq!(head.live().rows, files.iter().map(|f| f.rows).sum::<u64>());
    assert_eq!(head.live().bytes, files.iter().map(|f| f.bytes).sum::<u64>());
    assert_eq!(head.live().tombstones, files.iter().map(|f| f.tombstones).sum::<u64>());
    let misfits = |t: &str| head.table(&table(t)).unwrap().misfits["/x"]["string"];
    assert_eq!(misfits("a") + misfits("b"), 40 - 4, "each file once, and none that replaces others");
    assert_eq!(head.coverage().through, head.cursor());
}

/// The commit by which a head can be proven, if it was folded from it.
fn newest_commit(version: u64) -> (Commit, Head) {
    let head = at(version - 1);
    let (commit, next) = head.follow(next_draft(&head), run(version), None).unwrap();
    (commit, next.with_digest("d".into()))
}

fn read_back(text: &[u8], commit: &Commit) -> Result<Option<Head>> {
    Ok(text::ReadHead::parse("manifest.json", text)?.proven_by(commit, "d"))
}

#[test]
fn a_head_reads_back_as_it_was_written_and_is_proven_by_its_commit() {
    for version in [1, 2, 23, 40] {
        let (commit, head) = newest_commit(version);
        let text = head.to_text("a").unwrap();
        let read = read_back(&text, &commit).unwrap().unwrap();
        assert_eq!(read, head);
        assert_eq!(read.to_text("a").unwrap(), text);
        assert!(read_back(&text, &newest_commit(version + 1).0).unwrap().is_none());
        let (mut other, _) = newest_commit(version);
        other.draft.progress.delta.as_mut().unwrap().position = Position::new(Phase::Delta, "forged");
        assert!(read_back(&text, &other).unwrap().is_none(), "the tokens are the commit's");
    }
}

/// Whatever is altered, left out or doubled among the lines gives another sum.
#[test]
fn a_forged_head_is_proven_by_no_commit() {
    let (commit, head) = newest_commit(23);
    let text = String::from_utf8(head.to_text("a").unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is_line = |line: &&str| line.starts_with("{\"") && !line.starts_with(text::BEGINS);
    assert!(lines.iter().filter(|line| is_line(line)).count() >= 6, "{text}");
    let proven = |lines: Vec<String>| match read_back(lines.join("\n").as_bytes(), &commit) {
        Ok(proven) => proven.is_some(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            false
        }
    };
    let all = || lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(proven(all()));
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| is_line(line)) {
        let (mut without, mut twice) = (all(), all());
        without.remove(n);
        if !line.ends_with(',') {
            without[n - 1] = without[n - 1].trim_end_matches(',').to_owned();
        }
        twice.insert(n, format!("{},", line.trim_end_matches(',')));
        assert!(!proven(without), "without {line}");
        assert!(!proven(twice), "twice {line}");
        for (at, byte) in line.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
            let mut forged = all();
            let other = if byte == b'9' { '1' } else { char::from(byte + 1) };
            forged[n].replace_range(at..=at, &other.to_string());
            assert!(!proven(forged), "another digit at {at} of {line}");
        }
    }
    for (what, with) in [("\"**\"", "\"a\""), ("\"all\"", "{\"tables\":[]}"), ("tables/a", "tables/c")] {
        let forged = text.replace(what, with);
        assert!(forged == text || !proven(vec![forged]), "{what}");
    }
}

/// The sum is the same whether it is carried from commit to commit or made from the beginning.
#[test]
fn the_sum_that_commits_carry_is_that_of_all_lines() {
    for version in 0..45 {
        let head = at(version);
        assert_eq!(head.state(), head.summed().unwrap(), "version {version}");
    }
}

#[test]
fn a_commit_whose_sum_is_another_is_refused() {
    let head = at(5);
    let mut commit = follow(&head, next_draft(&head));
    commit.state = commit.state.plus(Sum::of(b"x"));
    assert!(refused(&head, &commit).contains("its state has the sum"));
}

/// Each row breaks one guarantee of an otherwise good commit.
#[test]
fn a_commit_that_breaks_a_guarantee_is_refused() {
    type Harm = fn(&mut Commit);
    let rows: &[(u64, &str, Harm)] = &[
        (3, "but 4 was expected", |c| c.version = 5),
        (3, "it follows", |c| c.previous = "y".into()),
        (3, "counter of run", |c| c.run.counter = 3),
        (3, "no delta cursor", |c| c.draft.progress.delta = None),
        (3, "went back", |c| c.draft.progress.delta = Some(cursor(testing::S - 1))),
        (3, "position of a snapshot", |c| {
            let position = Position::new(Phase::Snapshot, "x");
            c.draft.progress.delta.as_mut().unwrap().position = position;
        }),
        (0, "not the moment of a walk", |c| c.draft.progress.delta = Some(cursor(7))),
        (0, "its table a is unknown", |c| c.draft.tables.clear()),
        (0, "neither being walked", |c| c.draft.add[0].base = Some(BaseId("other".into()))),
        (0, "must have a base, and a delta file must not", |c| c.draft.add[0].base = None),
        (0, "is not in the base", |c| c.draft.add[0].max_ts = Timestamp(testing::S + 1)),
        (0, "is not in the base", |c| c.draft.progress.walk.as_mut().unwrap().scope = Scope::Tables(vec![])),
        (0, "is not in the base", |c| c.draft.selection = "** !a".parse().unwrap()),
        (1, "changed its moment, month or scope", |c| {
            c.draft.bases.clear();
            c.draft.progress.walk = Some(Walk { month: "1970-02-01".into(), ..walk() });
        }),
        (1, "though the base is complete", |c| c.draft.progress.walk = Some(walk())),
        (1, "a different moment than its walk", |c| {
            c.draft.progress.delta = Some(cursor(testing::S + 5));
            c.draft.bases[0].ts = Timestamp(testing::S + 5);
        }),
        (1, "left in a", |c| {
            c.draft.add.clear();
            c.draft.bases.clear();
        }),
        (1, "left in a", |c| {
            c.draft.bases[0].scope = Scope::Except(vec![table("a")]);
            c.draft.bases[0].tables.clear();
        }),
        (2, "completed a second time", |c| {
            let base = Base::new(base_id(), Timestamp(testing::S), Scope::All, Vec::new());
            c.draft.bases.push(base);
        }),
        (2, "lies before the first", |c| {
            c.draft.bases.push(Base::new(BaseId("b".into()), Timestamp(1), Scope::All, Vec::new()));
        }),
        (2, "lies before the first", |c| {
            c.draft.progress.walk = Some(Walk { base: BaseId("b".into()), ts: Timestamp(1), ..walk() });
        }),
        (3, "belongs to another table", |c| c.draft.tables[0].folder = "tables/A".into()),
        (4, "was changed to", |c| {
            c.draft.tables.push(crate::archive::TableEntry { folder: "x".into(), ..entry("a") });
        }),
        (4, "is not in the folder", |c| c.draft.add[0].path = "tables/ab/x.parquet".into()),
        (4, "is not selected", |c| {
            let table = c.draft.add[0].table.name().to_owned();
            c.draft.selection = format!("** !{table}").parse().unwrap();
        }),
        (4, "its schema 9 is unknown", |c| c.draft.add[0].schema = 9),
        (4, "contradict", |c| c.draft.add[0].rows = 0),
        (4, "between the cursors", |c| c.draft.add[0].min_ts = Timestamp(testing::S)),
        (4, "between the cursors", |c| c.draft.add[0].max_ts.0 += 1),
        (4, "another one", |c| c.draft.add[0].month = "1970-02-01".into()),
        (4, "two months", |c| {
            c.draft.progress.delta = Some(cursor(i64::MAX));
            c.draft.add[0].max_ts = Timestamp(i64::MAX);
        }),
        (4, "twice", |c| c.draft.add.push(c.draft.add[0].clone())),
        (4, "twice", |c| c.draft.remove.push(removed(&c.draft.add[0], 5))),
        (4, "is removed without a reason", |c| c.draft.remove = vec![removed(&delta("a", 3, 1001, 1010), 3)]),
        (4, "is removed without a reason", |c| {
            // The gap is of another table.
            let file = removed(&delta("a", 3, 1001, 1010), 3);
            let scope = Scope::Tables(vec![table("b")]);
            c.draft.gaps.push(Gap { scope, from: Timestamp(1000), to: Timestamp(1010), why: "lost".into() });
            c.draft.remove = vec![file];
        }),
        (4, "is removed without a reason", |c| {
            // One row of it is not in the gap.
            let file = removed(&delta("a", 3, 1001, 1010), 3);
            c.draft.gaps.push(Gap {
                scope: Scope::All,
                from: Timestamp(1000),
                to: Timestamp(1009),
                why: "lost".into(),
            });
            c.draft.remove = vec![file];
        }),
        (4, "is removed without a reason", |c| c.draft.remove = vec![removed(&snapshot("a", 0), 1)]),
        (4, "more is removed than exists", |c| {
            let file = RemovedFile { rows: 99, ..removed(&delta("a", 3, 1001, 1010), 3) };
            c.draft.gaps.push(Gap {
                scope: Scope::All,
                from: Timestamp(1000),
                to: Timestamp(1010),
                why: "lost".into(),
            });
            c.draft.remove = vec![file];
        }),
        (4, "makes statements about the deployment", |c| c.draft.maintenance = true),
        (4, "the doubt after", |c| {
            let (after, to) = (Timestamp(testing::S), Timestamp(i64::MAX));
            c.draft.doubts.push(Doubt { scope: Scope::All, after, to, why: "import".into() });
        }),
        (4, "but does not exist", |c| {
            let base = BaseId("other".into());
            c.draft.withdrawn.push(Withdrawal { base, scope: Scope::All, why: WithdrawalReason::Lost });
        }),
        (4, "a second time", |c| {
            let lost = |why| Withdrawal { base: base_id(), scope: Scope::All, why };
            c.draft.withdrawn = [WithdrawalReason::Lost, WithdrawalReason::Expired].map(lost).into();
        }),
        (4, "the archive did not make it", |c| {
            let base = base_id();
            c.draft.withdrawn.push(Withdrawal { base, scope: Scope::All, why: WithdrawalReason::Superseded });
        }),
        (4, "is not an own base", |c| c.draft.unmarked.push(base_id())),
        (4, "marked as repeating", |c| c.draft.add[0].repeats = true),
        (4, "beyond the cursor", |c| {
            c.draft.bases.push(Base::new(BaseId("b".into()), Timestamp(i64::MAX), Scope::All, Vec::new()));
        }),
        (1, "does not have the number of rows", |c| c.draft.bases[0].tables[0].rows += 1),
        (1, "does not have the number of rows", |c| c.draft.bases[0].tables.clear()),
        (1, "does not have the number of rows", |c| {
            let none = BaseTable { table: table("b"), rows: 1 };
            c.draft.bases[0].tables.push(none);
        }),
        (4, "the gap after", |c| {
            let (from, to) = (Timestamp(testing::S), Timestamp(i64::MAX));
            c.draft.gaps.push(Gap { scope: Scope::All, from, to, why: "window".into() });
        }),
        (4, "is not an extension of schema 0", |c| {
            let mut grown = entry("a");
            grown.columns.last_field_id = 3;
            c.draft.tables.push(grown);
        }),
        (4, "names no object", |c| {
            let mut grown = entry("a");
            (grown.columns.schema, grown.columns.last_field_id) = (1, 16);
            c.draft.tables.push(grown);
        }),
    ];
    for (version, says, harm) in rows {
        let head = at(*version);
        let mut commit = follow(&head, next_draft(&head));
        assert!(head.clone().apply(&commit, "x".into()).is_ok());
        harm(&mut commit);
        let said = refused(&head, &commit);
        assert!(said.contains(says), "expected `{says}`: {said}");
    }
}

#[test]
fn a_walk_that_grew_too_old_closes_with_its_finished_tables_and_another_walks_the_rest() {
    let mut draft_0 = first_draft();
    draft_0.tables.push(entry("b"));
    draft_0.add.push(snapshot("b", 1));
    let head = start();
    let head = after(&head, draft_0);
    let (finished, later) = (vec![table("a")], BaseId("later".into()));
    let next =
        Walk { base: later.clone(), ts: Timestamp(testing::S + 500), scope: Scope::Except(finished.clone()), ..walk() };
    let switch = Draft {
        remove: vec![removed(&snapshot("b", 1), 1)],
        bases: vec![Base::new(base_id(), Timestamp(testing::S), Scope::Tables(finished), Vec::new())],
        add: vec![DataFile { base: Some(later), max_ts: Timestamp(testing::S + 400), ..snapshot("b", 2) }],
        ..draft(Progress { delta: Some(cursor(testing::S + 500)), walk: Some(next) })
    };
    let mut left = switch.clone();
    left.remove.clear();
    assert!(refused_draft(&head, left).contains("left in b"));
    let head = after(&head, switch);
    let said = &head.coverage().bases[0];
    assert_eq!(said.tables, [BaseTable { table: table("a"), rows: 2 }]);
    let counts = |t: &str| head.table(&table(t)).map(|t| (t.base.files, t.unfinished.files)).unwrap();
    assert_eq!((counts("a"), counts("b")), ((1, 0), (0, 1)));
    assert_eq!(head.coverage().spans(&table("a")).len(), 1);
    assert!(head.coverage().spans(&table("b")).is_empty());
}

#[test]
fn a_gap_and_a_component_row_reach_the_coverage() {
    let head = at(4);
    let from = head.cursor().unwrap();
    let to = Timestamp(from.0 + 50);
    let progress = Progress { delta: Some(cursor(to.0)), walk: None };
    let gap = Gap { scope: Scope::All, from, to, why: "window".into() };
    let proof = Proof { ts: to, by: ProofSource::Row };
    let head = after(&head, Draft { gaps: vec![gap], proofs: vec![proof], ..draft(progress) });
    let spans = head.coverage().spans(&table("a"));
    assert_eq!(spans.iter().map(|s| (s.from.0, s.to)).collect::<Vec<_>>(), [(testing::S, from)]);
    assert_eq!(head.coverage().component_rows, Some(ComponentRows { since: to, seen: to, asked: false }));
}

#[test]
fn what_came_without_types_is_known_by_base_and_by_span() {
    let untyped = |draft: Draft| Draft { encoding: Encoding::Json, ..draft };
    let step = |head: Head, draft: Draft| after(&head, draft);
    let head = step(start(), untyped(first_draft()));
    let head = [2, 3].iter().fold(head, |head, _| {
        let next = next_draft(&head);
        step(head, untyped(next))
    });
    let known = |head: &Head| -> Vec<_> {
        head.coverage().untyped.iter().map(|u| (u.base.clone(), u.after.0, u.to.0)).collect()
    };
    let cursor_3 = head.cursor().unwrap().0;
    assert_eq!(known(&head), [(Some(base_id()), testing::S, testing::S), (None, testing::S, cursor_3)]);
    let head = {
        let next = next_draft(&head);
        step(head, next)
    };
    let typed_to = head.cursor().unwrap().0;
    let head = {
        let next = next_draft(&head);
        step(head, untyped(next))
    };
    assert_eq!(known(&head)[2], (None, typed_to, head.cursor().unwrap().0));
}

type DraftHarm = fn(&mut Draft);

/// Files of the fixed history that live after version 9: deltas of `a` of versions 5, 7 and 9, and of `b` of 4, 6 and 8.
fn file_of(version: u64) -> DataFile {
    next_draft(&at(version - 1)).add.remove(0)
}

#[test]
fn a_replacement_holds_exactly_the_rows_of_what_it_replaces() {
    let head = at(9);
    let inputs = [5, 7].map(|version| (file_of(version), version));
    let good = || {
        let mut draft = head.maintenance(Timestamp(6000)).unwrap();
        let (min, max) = (inputs[0].0.min_ts.0, inputs[1].0.max_ts.0);
        join(&mut draft, &inputs, DataFile { rows: 4, tombstones: 2, ..delta("a", 90, min, max) });
        draft
    };
    let next = after(&head, good());
    assert_eq!(next.live().rows, head.live().rows);
    assert_eq!(next.live().files, head.live().files - 1);
    assert_eq!(next.table(&table("a")).unwrap().misfits, head.table(&table("a")).unwrap().misfits, "not counted again");
    let rows: &[(&str, DraftHarm)] = &[
        ("does not hold the rows", |d| d.add[0].rows -= 1),
        ("does not hold the rows", |d| d.add[0].tombstones += 1),
        ("does not hold the rows", |d| d.add[0].rescued_rows += 1),
        ("outside of what it replaces", |d| d.add[0].min_ts.0 -= 1),
        ("outside of what it replaces", |d| d.add[0].max_ts.0 += 1),
        ("mixes", |d| d.add[0].encoding = Encoding::Json),
        ("mixes", |d| d.add[0].table = table("b")),
        ("mixes", |d| d.remove[0].month = "1970-02-01".into()),
        ("is not an erasure", |d| {
            d.add[0].rows -= 1;
            d.replaced[0].left = Some(LeftOut { rows: 1, tombstones: 0, rescued_rows: 0 });
        }),
        ("replaces nothing", |d| d.replaced[0].inputs.clear()),
        ("replaced but not removed", |d| drop(d.remove.pop())),
        ("is not added", |d| d.add.clear()),
        ("does not hold the rows", |d| {
            d.add.clear();
            d.replaced[0].outputs.clear();
        }),
        ("replaced twice", |d| {
            let again = d.replaced[0].clone();
            d.replaced.push(again);
        }),
        // What is not an output brings rows: here from behind the cursor.
        ("between the cursors", |d| {
            d.replaced.clear();
            d.remove.clear();
        }),
    ];
    for (says, harm) in rows {
        let mut draft = good();
        harm(&mut draft);
        let said = refused_draft(&head, draft);
        assert!(said.contains(says), "expected `{says}`: {said}");
    }
}

#[test]
fn numbers_whose_sum_is_too_large_are_refused() {
    let head = at(1);
    let mut draft = next_draft(&head);
    draft.add.iter_mut().for_each(|file| file.rows = u64::MAX);
    assert!(refused_draft(&head, draft).contains("contradict"));
    let head = at(9);
    let inputs = [5, 7].map(|version| (file_of(version), version));
    let mut draft = head.maintenance(Timestamp(6000)).unwrap();
    let (min, max) = (inputs[0].0.min_ts.0, inputs[1].0.max_ts.0);
    join(&mut draft, &inputs, DataFile { rows: 4, tombstones: 2, ..delta("a", 90, min, max) });
    draft.remove[0].rows = u64::MAX;
    assert!(refused_draft(&head, draft).contains("contradict"));
}

#[test]
fn an_erasure_leaves_rows_out_and_lessens_what_the_base_said() {
    let head = at(9);
    let file = snapshot("a", 0);
    let erase = |outputs: Vec<DataFile>, rows| {
        let left = LeftOut { rows, tombstones: 0, rescued_rows: 0 };
        Draft {
            remove: vec![removed(&file, 1)],
            replaced: vec![Replacement {
                inputs: vec![file.path.clone()],
                outputs: outputs.iter().map(|f| f.path.clone()).collect(),
                why: ReplacementReason::Erasure,
                left: Some(left),
            }],
            add: outputs,
            ..head.maintenance(Timestamp(6000)).unwrap()
        }
    };
    let said = |head: &Head| head.coverage().bases[0].tables.clone();
    let rows = |n| vec![BaseTable { table: table("a"), rows: n }];
    assert_eq!(said(&head), rows(4));
    let fewer = DataFile { rows: 1, ..snapshot("a", 90) };
    assert_eq!(said(&after(&head, erase(vec![fewer.clone()], 1))), rows(3));
    assert_eq!(said(&after(&head, erase(vec![], 2))), rows(2));
    assert!(refused_draft(&head, erase(vec![fewer], 2)).contains("does not hold the rows"));
}

/// A base that the archive makes of its own state at the cursor: one file of `a` with three rows.
fn own_base(head: &Head, id: &str, cut: bool) -> Draft {
    let s = head.cursor().unwrap();
    let file = DataFile { rows: 3, base: Some(BaseId(id.into())), repeats: !cut, ..snapshot("a", s.0 as u64) };
    let path = file.path.replace("00", id);
    Draft {
        add: vec![DataFile { path, ..file }],
        bases: vec![Base {
            made: BaseMaker::Archive,
            cuts: if cut { vec![table("a")] } else { Vec::new() },
            ..Base::new(BaseId(id.into()), s, Scope::Tables(vec![table("a")]), Vec::new())
        }],
        ..head.maintenance(Timestamp(6000)).unwrap()
    }
}

fn withdraw(draft: &mut Draft, id: &str, why: WithdrawalReason) {
    let scope = Scope::Tables(vec![table("a")]);
    draft.withdrawn.push(Withdrawal { base: BaseId(id.into()), scope, why });
}

fn serving(head: &Head, name: &str, at: Timestamp) -> Option<String> {
    match head.coverage().covers(&table(name), at) {
        coverage::Covers::Covered(base) => Some(base.id.0.clone()),
        coverage::Covers::NotCovered(_) => None,
    }
}

#[test]
fn an_own_base_serves_from_its_moment_on_and_is_superseded_only_where_another_serves_the_same() {
    let head = after(&at(9), own_base(&at(9), "own1", false));
    let s = head.cursor().unwrap();
    let id = |base: &str| Some(base.to_owned());
    assert_eq!(serving(&head, "a", s), id("own1"));
    assert_eq!(serving(&head, "a", Timestamp(s.0 - 1)), id(&base_id().0));
    assert_eq!(serving(&head, "b", s), id(&base_id().0));
    assert_eq!(head.live().rows, at(9).live().rows + 3);

    let mut draft = head.maintenance(Timestamp(7000)).unwrap();
    withdraw(&mut draft, "own1", WithdrawalReason::Superseded);
    let without = after(&head, draft.clone());
    assert_eq!(serving(&without, "a", s), id(&base_id().0));
    let file = own_base(&at(9), "own1", false).add.remove(0);
    assert!(!without.shows(&file), "its files only repeat what others hold");
    // Once others are lost they may be the only ones, and stay.
    let mut unmarked = draft.clone();
    unmarked.unmarked.push(BaseId("own1".into()));
    let mut leaves = unmarked.clone();
    assert!(after(&head, unmarked).shows(&file));
    leaves.remove.push(removed(&file, 10));
    assert!(refused_draft(&head, leaves.clone()).contains("is removed without a reason"));
    leaves.unmarked.clear();
    after(&head, leaves);

    // Behind a gap nothing else serves.
    let to = Timestamp(s.0 + 50);
    let progress = Progress { delta: Some(DeltaCursor { ts: to, ..cursor(to.0) }), walk: None };
    let gap = Gap { scope: Scope::All, from: s, to, why: "window".into() };
    let head = after(&at(9), Draft { gaps: vec![gap], ..testing::draft(progress) });
    let mut own = own_base(&head, "own2", false);
    own.progress = head.progress().clone();
    let head = after(&head, own);
    let mut draft = head.maintenance(Timestamp(7000)).unwrap();
    withdraw(&mut draft, "own2", WithdrawalReason::Superseded);
    assert!(refused_draft(&head, draft.clone()).contains("nothing else serves its moments"));
    draft.withdrawn[0].why = WithdrawalReason::Expired;
    assert_eq!(serving(&after(&head, draft), "a", to), None);
}

#[test]
fn no_earlier_base_serves_beyond_a_cut_also_when_the_cut_is_withdrawn() {
    let head = after(&at(9), own_base(&at(9), "cut", true));
    let s = head.cursor().unwrap();
    assert_eq!(serving(&head, "a", s), Some("cut".to_owned()));
    let mut draft = head.maintenance(Timestamp(7000)).unwrap();
    withdraw(&mut draft, "cut", WithdrawalReason::Lost);
    let head = after(&head, draft);
    assert_eq!(serving(&head, "a", s), None, "phantoms would come back");
    assert_eq!(serving(&head, "a", Timestamp(s.0 - 1)), Some(base_id().0));
    assert_eq!(serving(&head, "b", s), Some(base_id().0));
}

#[test]
fn a_cut_withdraws_what_the_archive_made_of_what_it_corrects() {
    let head = after(&at(9), own_base(&at(9), "own", false));
    let s = head.cursor().unwrap();
    let mut cut = own_base(&head, "cut", true);
    after(&head, cut.clone());
    // A cut that corrects: what the archive showed before is in doubt.
    let scope = Scope::Tables(vec![table("a")]);
    cut.doubts.push(Doubt { scope, after: Timestamp(testing::S), to: s, why: "import".into() });
    assert!(refused_draft(&head, cut.clone()).contains("was made of what the cut"));
    withdraw(&mut cut, "own", WithdrawalReason::Superseded);
    let head = after(&head, cut);
    assert_eq!(serving(&head, "a", head.cursor().unwrap()), Some("cut".to_owned()));
    let mut again = head.maintenance(Timestamp(8000)).unwrap();
    withdraw(&mut again, "cut", WithdrawalReason::Superseded);
    assert!(refused_draft(&head, again).contains("nothing else serves its moments"), "a cut is not superseded");
}

#[test]
fn files_of_a_gap_a_withdrawn_base_or_a_walk_that_is_given_up_may_leave() {
    let head = at(9);
    let file = file_of(5);
    let mut lost = head.maintenance(Timestamp(6000)).unwrap();
    lost.gaps.push(Gap {
        scope: Scope::Tables(vec![table("a")]),
        from: Timestamp(file.min_ts.0 - 1),
        to: file.max_ts,
        why: "lost".into(),
    });
    lost.remove.push(removed(&file, 5));
    assert_eq!(after(&head, lost).live().files, head.live().files - 1);

    let mut expired = head.maintenance(Timestamp(6000)).unwrap();
    expired.withdrawn.push(Withdrawal { base: base_id(), scope: Scope::All, why: WithdrawalReason::Expired });
    expired.remove.extend([removed(&snapshot("a", 0), 1), removed(&snapshot("a", 1), 2)]);
    let after_expiry = after(&head, expired);
    assert_eq!(after_expiry.live().files, head.live().files - 2);
    assert!(after_expiry.coverage().spans(&table("a")).is_empty());

    let open = after(&start(), first_draft());
    let given_up = Draft {
        remove: vec![removed(&snapshot("a", 0), 1)],
        ..draft(Progress { delta: Some(cursor(testing::S)), walk: None })
    };
    assert_eq!(after(&open, given_up).live().files, 0);
}

#[test]
fn words_that_this_program_does_not_know_hold_from_their_commit_on() {
    let head = at(4);
    let mut commit = follow(&head, next_draft(&head));
    commit.program = "convex-archiver/9.9.9".into();
    commit.needs.writers.insert("erasure".into());
    let next = head.clone().folded(&commit).unwrap();
    commit.state = next.state();
    let next = head.clone().apply(&commit, "5".into()).unwrap();
    let error = next.check_writer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("convex-archiver/9.9.9") && error.to_string().contains("erasure"), "{error}");
    commit.needs.readers.insert("encryption".into());
    let error = head.apply(&commit, "5".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("encryption") && !error.to_string().contains("copy"), "{error}");
}

#[test]
fn a_suspect_stays_one_until_a_comparison_settles_it() {
    let mut head = at(2);
    let said = |head: &Head| {
        let state = head.table(&table("a")).unwrap();
        (state.suspect.clone().map(|suspect| suspect.after.0), state.proven.map(|proven| proven.ts.0))
    };
    let compared = |ts: i64, settles| Comparison { scope: Scope::All, ts: Timestamp(ts), depth: Depth::Ids, settles };
    let suspect = |after: i64| Suspect { table: table("a"), after: Timestamp(after), why: "import".into() };
    let mut next = |to: i64, change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(Progress { delta: Some(cursor(to)), walk: None });
        change(&mut draft);
        head = after(&head, draft);
        (said(&head), head.doubted_at(&table("a"), Timestamp(to)).map(|span| span.why))
    };
    let import = Some("import".to_owned());
    assert_eq!(next(2000, &|d| d.suspects = vec![suspect(1500)]), ((Some(1500), None), import.clone()));
    // The earlier moment stays.
    assert_eq!(next(2100, &|d| d.suspects = vec![suspect(2050)]), ((Some(1500), None), import.clone()));
    assert_eq!(next(2200, &|d| d.compared = vec![compared(1400, true)]), ((Some(1500), Some(1400)), import.clone()));
    assert_eq!(next(2300, &|d| d.compared = vec![compared(2250, false)]), ((Some(2250), Some(2250)), import));
    assert_eq!(next(2400, &|d| d.compared = vec![compared(2400, true)]), ((None, Some(2400)), None));
    // Nobody has watched behind 2400.
    let unguarded = Some("unguarded".to_owned());
    assert_eq!(next(2500, &|d| d.guarded = Some(Timestamp(2400))), ((None, Some(2400)), unguarded));
    assert_eq!(next(2600, &|d| d.guarded = Some(Timestamp(2600))), ((None, Some(2400)), None));
}

#[test]
fn nothing_is_proven_beyond_the_cursor_and_no_unknown_table_is_suspect() {
    let head = at(2);
    let refused = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(Progress { delta: Some(cursor(2000)), walk: None });
        change(&mut draft);
        head.follow(draft, Run { id: "11111111".into(), counter: 1 }, None).is_err()
    };
    let suspect = |name: &str, after| Suspect { table: table(name), after: Timestamp(after), why: "import".into() };
    assert!(!refused(&|d| d.suspects = vec![suspect("a", 2000)]));
    assert!(refused(&|d| d.suspects = vec![suspect("a", 2001)]));
    assert!(refused(&|d| d.suspects = vec![suspect("strange", 2000)]));
    assert!(refused(&|d| d.guarded = Some(Timestamp(2001))));
    let compared = Comparison { scope: Scope::All, ts: Timestamp(2001), depth: Depth::Ids, settles: true };
    assert!(refused(&|d| d.compared = vec![compared.clone()]));
    assert!(refused(&|d| (d.maintenance, d.guarded) = (true, Some(Timestamp(1)))));
}
