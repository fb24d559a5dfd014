//! The verbs that look at the past, on the archive that `demo` leaves.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ended, archiver, run};

struct Demo {
    _dir: tempfile::TempDir,
    archive: PathBuf,
}

impl Demo {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("bin");
        std::fs::create_dir(&empty).unwrap();
        run(archiver(["demo", "--dir", "a"]).current_dir(dir.path()).env("PATH", &empty)).with(0);
        Self { archive: dir.path().join("a"), _dir: dir }
    }

    fn run<const N: usize>(&self, args: [&str; N]) -> Ended {
        run(archiver(args).env("CONVEX_ARCHIVE", &self.archive))
    }

    fn lines<const N: usize>(&self, args: [&str; N]) -> Vec<Value> {
        let said = self.run(args).with(0).stdout;
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member}: {value}"))
}

#[test]
fn log_history_get_and_diff_tell_one_story() {
    let demo = Demo::new();

    // Of the log take a document of `http` that was deleted; and see that all sums agree.
    let transactions = demo.lines(["log", "--json", "--table", "http"]);
    let changes: Vec<(&Value, &Value)> =
        transactions.iter().flat_map(|t| t["changes"].as_array().unwrap().iter().map(move |c| (t, c))).collect();
    let of = |change: &str| changes.iter().filter(|(_, c)| c["change"] == change).count() as u64;
    assert!(of("inserted") > 0 && of("updated") > 0 && of("deleted") > 0 && of("written") == 0);
    let said = demo.run(["log", "--table", "http", "--ids"]).with(0).stdout;
    assert!(said.contains("  http: ") && said.contains("    deleted ") && said.contains(" transactions\n"), "{said}");
    let (transaction, deleted) = changes.iter().find(|(_, c)| c["change"] == "deleted").unwrap();
    let (ts, id) = (text(transaction, "ts"), text(deleted, "id"));

    // Its history ends there.
    let history = demo.lines(["history", "http", id, "--json"]);
    let last = history.last().unwrap();
    assert_eq!((text(last, "change"), text(last, "written_ts")), ("deleted", ts));
    assert_eq!(text(&history[0], "change"), "first seen");
    let said = demo.run(["history", "http", id]).with(0).stdout;
    assert!(said.contains(&format!("(_ts {ts})  deleted\n")) && said.contains("    feature: \""), "{said}");

    // A nanosecond before it was there, at that moment it was not.
    let before = (ts.parse::<i64>().unwrap() - 1).to_string();
    let got = demo.run(["get", "http", id, "--as-of", &before, "--json"]).with(0).json();
    assert_eq!((&got["document"]["_id"], text(&got, "as_of_ts")), (&id.into(), before.as_str()));
    let said = demo.run(["get", "http", id, "--as-of", &before]).with(0).stdout;
    assert!(said.contains(&format!("(_ts {before})")) && said.contains("\n  \"feature\": \""), "{said}");
    // The id carries the number of its table.
    assert_eq!(demo.run(["get", id, "--as-of", &before, "--json"]).with(0).json(), got);
    assert!(demo.run(["get", id, "--as-of", &before]).with(0).stdout.starts_with("Table    http\n"));
    assert_eq!(demo.lines(["history", id, "--json"]), history);
    let gone = demo.run(["get", "http", id, "--as-of", ts]).with(1);
    assert!(gone.stderr.contains("it was deleted at") && gone.stderr.contains(ts), "{gone:?}");
    let gone = demo.run(["get", "http", id, "--json"]).with(1);
    assert_eq!(gone.json()["error"]["kind"], "not_found");

    // The difference between these two moments is this document.
    let lines = demo.lines(["diff", &before, ts, "--table", "http", "--documents", "--json"]);
    let (sums, documents) = lines.split_last().unwrap();
    let sums = &sums["tables"][0];
    let found = documents.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!((text(found, "change"), &found["before"]), ("deleted", &got["document"]));
    assert_eq!(sums["deleted"], documents.iter().filter(|line| line["change"] == "deleted").count());
    assert!(demo.run(["diff", &before, ts, "--documents"]).with(0).stdout.contains(&format!("http {id} deleted\n")));

    // From the first snapshot on, the sums of the log are those of the difference, since no document was written twice.
    let summaries = demo.run(["tables", "--json"]).with(0).json();
    let http = summaries["tables"].as_array().unwrap().iter().find(|t| t["table"]["name"] == "http").unwrap().clone();
    let first = text(&http["covered"][0], "from").to_owned();
    let all = demo.run(["diff", &first, "now", "--table", "http", "--json"]).with(0).json();
    let all = &all["tables"][0];
    let documents = |moment: &str| {
        let counted = demo.run(["tables", "--count", "--as-of", moment, "--json"]).with(0).json();
        let tables = counted["tables"].as_array().unwrap();
        tables.iter().find(|t| t["table"]["name"] == "http").unwrap()["documents"].as_u64().unwrap()
    };
    let (then, now) = (documents(&first), documents("now"));
    let sum = |member: &str| all[member].as_u64().unwrap();
    assert_eq!(then, sum("deleted") + sum("updated") + sum("unchanged"));
    assert_eq!(now, sum("inserted") + sum("updated") + sum("unchanged"));
    assert_eq!(then + of("inserted") - of("deleted"), now);
    let said = demo.run(["tables", "--count"]).with(0).stdout;
    assert!(said.contains("Documents") && said.contains("As of ") && said.contains("Covered: all tables"), "{said}");
    let two = demo.run(["tables", "--count", "--table", "*t*", "--exclude", "html", "--json"]).with(0).json();
    assert_eq!(two["tables"].as_array().unwrap().iter().map(|t| &t["table"]["name"]).collect::<Vec<_>>(), ["http"]);
    let backwards = demo.run(["diff", "now", &first]).with(2);
    assert!(backwards.stderr.contains("exchange them"), "{backwards:?}");
    let others = demo.run(["diff", &first, "now", "--exclude", "http", "--json"]).with(0).json();
    assert_eq!(others["tables"].as_array().unwrap().len(), 2);
    demo.run(["diff", &first, "now", "--exclude", "htpp"]).with(1);
}

#[test]
fn who_reads_no_further_ends_it_without_an_error() {
    let demo = Demo::new();
    for args in [&["log", "--ids"][..], &["log", "--json"], &["diff", "--documents", "2020-01-01", "now"]] {
        let mut command = archiver(["-q"]);
        let mut running = command.args(args).env("CONVEX_ARCHIVE", &demo.archive).spawn().unwrap();
        drop(running.stdout.take());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut running.stderr.take().unwrap(), &mut said).unwrap();
        let ended = running.wait().unwrap();
        // Nothing was covered then: an error is told, whoever reads.
        let expected = if args[0] == "diff" { (Some(1), true) } else { (Some(0), false) };
        assert_eq!((ended.code(), !said.is_empty()), expected, "{args:?}: {said}");
    }
}

#[test]
fn schemas_show_types_and_their_birth() {
    let demo = Demo::new();
    let schema = demo.run(["schema", "http", "--json"]).with(0).json();
    let columns = schema["columns"].as_array().unwrap();
    let column = |path: &str| columns.iter().find(|c| c["path"] == path).unwrap_or_else(|| panic!("{path}: {schema}"));
    assert_eq!(column("/feature")["type"], "string");
    assert_eq!(column("/status/experimental")["type"], "boolean");
    assert_eq!(column("/status/experimental")["column"], "status.experimental");
    assert!(column("/feature")["since"].as_str().unwrap().ends_with('Z'));
    let said = demo.run(["schema", "http"]).with(0).stdout;
    let line = said.lines().find(|line| line.starts_with("/status/experimental ")).unwrap();
    assert_eq!(line.split_whitespace().nth(1), Some("boolean"));
    assert!(said.contains("rows have values in _rescued"), "{said}");
}

#[test]
fn a_moment_that_is_not_covered_names_those_that_are() {
    let demo = Demo::new();
    let ended = demo.run(["diff", "2020-01-01", "now", "--json"]).with(1);
    let error = &ended.json()["error"];
    assert_eq!(error["kind"], "not_found");
    let message = text(error, "message");
    assert!(message.contains("not covered at 2020-01-01T00:00:00.000000000Z (_ts 1577836800000000000)"), "{message}");
    let first = demo.run(["tables", "--json"]).with(0).json()["tables"][0]["covered"][0]["from"].clone();
    let offer = format!("({}, after it)", first.as_str().unwrap());
    assert!(
        message.contains("use the nearest moment at which all selected tables are covered: 1")
            && message.ends_with(&offer),
        "{message}"
    );
    assert!(demo.run(["tables", "--count", "--as-of", "2020-01-01"]).with(1).stderr.contains("not covered"));
}

#[test]
fn what_is_not_there_is_told_and_nonsense_is_a_usage_error() {
    let demo = Demo::new();
    for (args, code, word) in [
        (
            &["get", "http", "j5700221pceb603t7je2hkqn0s8jrtmp"][..],
            1,
            "no document j5700221pceb603t7je2hkqn0s8jrtmp in http at ",
        ),
        (&["history", "http", "j5700221pceb603t7je2hkqn0s8jrtmp"], 1, "has no revision of a document"),
        (&["get", "ghost", "x"], 1, "no table ghost: it has "),
        (&["log", "--table", "a/ghost"], 1, "no table a/ghost"),
        (&["log", "--since", "now", "--until", "2020-01-01"], 2, "ends before it begins"),
        (&["get", "http", "x", "--as-of", "the day before"], 2, "is not a moment"),
        (&["get", "no-table", "x"], 2, "COMPONENT/TABLE"),
        (&["get", "http"], 2, "`http` is not the `_id` of a document: give TABLE ID"),
        (&["history", "0"], 2, "is not the `_id` of a document"),
        (&["get", "k57020g30g2gc1r81450p30d1s8m1rem"], 1, "no table of the archive has the number "),
        (&["diff", "now"], 2, "<T2>"),
        (&["tables", "--memory-limit", "1MiB"], 2, "at least 64MiB"),
    ] {
        let ended = run(archiver([]).args(args).env("CONVEX_ARCHIVE", &demo.archive)).with(code);
        assert!(ended.stderr.contains(word), "{args:?}: {ended:?}");
    }
    let nowhere = Path::new("/nowhere/at/all");
    run(archiver(["tables", "--archive"]).arg(nowhere)).with(1);
}

#[test]
fn documents_of_a_table_are_shown_and_the_newest_transactions_in_either_order() {
    let demo = Demo::new();
    let all = demo.lines(["documents", "http", "--json", "--limit", "all"]);
    let counted = demo.run(["tables", "--count", "--json", "--table", "http"]).with(0).json();
    assert_eq!(Some(all.len() as u64), counted["tables"][0]["documents"].as_u64());
    let ids: Vec<_> = all.iter().map(|line| text(&line["document"], "_id")).collect();
    assert!(ids.is_sorted() && ids.len() > 10);
    let shown = demo.run(["documents", "http", "--limit", "3"]).with(0);
    let first: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(first, all[..3].iter().map(|line| line["document"].clone()).collect::<Vec<_>>());
    assert!(shown.stderr.contains("there are more documents than these 3"), "{shown:?}");
    // As `get` shows it, then and now.
    let got = demo.run(["get", "http", ids[0], "--json"]).with(0).json();
    assert_eq!((&got["document"], &got["written_ts"]), (&all[0]["document"], &all[0]["written_ts"]));
    let begin = text(&demo.lines(["log", "--json"])[0], "ts").to_owned();
    let before = (begin.parse::<i64>().unwrap() - 1).to_string();
    assert!(!demo.lines(["documents", "http", "--json", "--as-of", &before]).is_empty());
    assert!(demo.run(["documents", "ghost"]).with(1).stderr.contains("no table ghost"));
    assert!(demo.run(["documents", "http", "--limit", "x"]).with(2).stderr.contains("or `all`"));

    let log = demo.lines(["log", "--json"]);
    assert!(log.len() > 3);
    assert_eq!(demo.lines(["log", "--json", "--limit", "2"]), log[log.len() - 2..]);
    let mut newest: Vec<_> = demo.lines(["log", "--json", "--limit", "3", "--reverse"]);
    newest.reverse();
    assert_eq!(newest, log[log.len() - 3..]);
    assert_eq!(demo.lines(["log", "--json", "--limit", "100000"]), log);
    let said = demo.run(["log", "--limit", "2"]).with(0).stdout;
    assert!(said.ends_with(&format!("\n2 transactions of {}\n", log.len())), "{said}");
    demo.run(["log", "--reverse"]).with(2);
    // Patterns mean what they mean elsewhere.
    assert_eq!(demo.lines(["log", "--json", "--table", "ht?p"]), demo.lines(["log", "--json", "--table", "http"]));
    let others = demo.lines(["log", "--json", "--exclude", "http"]);
    assert!(others.iter().flat_map(|t| t["changes"].as_array().unwrap()).all(|c| c["table"]["name"] != "http"));
}
