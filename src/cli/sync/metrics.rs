//! The metrics of a run as OpenMetrics text, which Prometheus' older parsers read as well. All of them come from the run's report; what only a run that
//! went well can tell is taken over from the file that the run before wrote.

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use chrono::DateTime;
use convex_archiver::{Error, Result};
use serde_json::Value;

/// A metric: its name behind `convex_archiver_`, what it says, its value by a report, and whether it says something of the archive that holds also
/// when a later run fails.
struct Metric {
    name: &'static str,
    help: &'static str,
    value: fn(&Value) -> Option<f64>,
    lasts: bool,
}

/// Says how the last run went.
const fn of_run(name: &'static str, help: &'static str, value: fn(&Value) -> Option<f64>) -> Metric {
    Metric { name, help, value, lasts: false }
}

/// Says how it stands with the archive.
const fn of_archive(name: &'static str, help: &'static str, value: fn(&Value) -> Option<f64>) -> Metric {
    Metric { name, help, value, lasts: true }
}

const METRICS: [Metric; 24] = [
    of_run("last_run_timestamp_seconds", "When the last run ended, whether or not it succeeded.", |r| time(r, "ended")),
    of_run("last_run_duration_seconds", "How long the last run took.", |r| number(r, "seconds")),
    of_run("last_run_exit_code", "Exit code of the last run: 0 is success, 3 is done with findings.", |r| {
        number(r, "exit_code")
    }),
    of_run("last_run_caught_up", "1 if the last run caught up with the deployment, else 0.", |r| flag(r, "caught_up")),
    of_run("last_run_documents", "Documents that the last run wrote.", |r| number(r, "documents")),
    of_run("last_run_tombstones", "Tombstones that the last run wrote.", |r| number(r, "tombstones")),
    of_run("last_run_files", "Data files that the last run wrote, not including joined ones.", |r| number(r, "files")),
    of_run("last_run_written_bytes", "Their size.", |r| number(r, "file_bytes")),
    of_run("last_run_commits", "Commits that the last run made.", |r| number(r, "commits")),
    of_run("last_run_requests", "Requests to the deployment, including retries.", |r| number(r, "requests")),
    of_run("last_run_retries", "Retries of requests that had failed.", |r| number(r, "retries")),
    of_run("last_run_response_bytes", "Bytes that the deployment sent, uncompressed.", |r| number(r, "response_bytes")),
    of_run("last_run_store_requests", "Requests to the store; absent if the archive is a folder.", |r| {
        number(r, "store_requests")
    }),
    of_run("last_run_joined_files", "Small files that the last run joined.", |r| {
        r.get("compacted")?.get("inputs")?.as_f64()
    }),
    of_run("last_run_gaps", "Gaps that the last run found, and earlier ones that are not healed yet.", |r| {
        length(r, "gaps")
    }),
    of_run("last_run_healed_tables", "Tables that differed from the deployment and were corrected.", |r| {
        length(r, "healed")
    }),
    of_archive("suspect_tables", "Tables that may differ from the deployment.", |r| length(r, "suspects")),
    of_archive("version", "The newest version of the archive.", |r| number(r, "version")),
    of_archive("last_success_timestamp_seconds", "When a run last ended with exit code 0 or 3.", |r| {
        let code = number(r, "exit_code")?;
        time(r, "ended").filter(|_| [0.0, 3.0].contains(&code))
    }),
    of_archive("last_clean_timestamp_seconds", "When a run last ended with exit code 0.", |r| {
        let code = number(r, "exit_code")?;
        time(r, "ended").filter(|_| code == 0.0)
    }),
    of_archive("checked_timestamp_seconds", "When the deployment last answered.", |r| time(r, "checked_at")),
    of_archive("archived_timestamp_seconds", "Moment up to which the archive has everything.", |r| {
        Some(time(r, "ended")? - number(r, "lag_seconds")?)
    }),
    of_archive("window_end_timestamp_seconds", "When the deployment drops changes that the archive lacks.", |r| {
        Some(time(r, "ended")? + number(r, "deltas_left_seconds")?)
    }),
    of_archive("guarded_timestamp_seconds", "Moment up to which imports and drops were detected.", |r| {
        time(r, "guarded")
    }),
];

/// The findings of the last run, each kind with how often.
const FINDINGS: &str = "convex_archiver_last_run_findings";
/// How far behind the archive was when the run ended, and what was left.
const LAG: (&str, &str) = ("convex_archiver_lag_seconds", "How far the archive was behind when the last run ended.");
const LEFT: (&str, &str) = (
    "convex_archiver_window_left_seconds",
    "Time left, when the last run ended, until the deployment drops changes that the archive lacks.",
);

fn number(report: &Value, name: &str) -> Option<f64> {
    report.get(name)?.as_f64()
}

fn flag(report: &Value, name: &str) -> Option<f64> {
    report.get(name)?.as_bool().map(|is| if is { 1.0 } else { 0.0 })
}

fn length(report: &Value, name: &str) -> Option<f64> {
    report.get(name)?.as_array().map(|list| list.len() as f64)
}

/// Seconds since 1970, to the millisecond.
fn time(report: &Value, name: &str) -> Option<f64> {
    let time = DateTime::parse_from_rfc3339(report.get(name)?.as_str()?).ok()?;
    Some(time.timestamp_millis() as f64 / 1000.0)
}

/// Writes the metrics of a run with this report, at once: nobody reads half a file.
///
/// # Errors
/// Resource, if the file cannot be written.
pub(super) fn write(file: &Path, report: &Value) -> Result<()> {
    let failed = |e: std::io::Error| Error::resource(format!("cannot write {}", file.display())).with_source(e);
    let before = fs::read_to_string(file).unwrap_or_default();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The collector is another user.
        beside.permissions(fs::Permissions::from_mode(0o644));
    }
    let mut beside = beside.prefix(".convex-archiver-").tempfile_in(folder).map_err(failed)?;
    beside.write_all(text(report, &before).as_bytes()).map_err(failed)?;
    beside.persist(file).map(drop).map_err(|e| failed(e.error))
}

/// The text of all metrics. `before` is that of the run before.
fn text(report: &Value, before: &str) -> String {
    let archive = escaped(report.get("archive").and_then(Value::as_str).unwrap_or_default());
    let labels = format!("{{archive=\"{archive}\",verb=\"sync\"}}");
    let mut text = String::new();
    let kept = |name: &str| sample(before, name, &labels);
    let mut values = Vec::new();
    for metric in METRICS {
        let name = format!("convex_archiver_{}", metric.name);
        let value = (metric.value)(report).or_else(|| kept(&name).filter(|_| metric.lasts));
        values.push((metric.name, value));
        family(&mut text, &name, metric.help);
        push(&mut text, &name, &labels, value);
    }
    let of = |name: &str| values.iter().find(|(other, _)| *other == name).and_then(|(_, value)| *value);
    let ended = of("last_run_timestamp_seconds");
    let lag = ended.zip(of("archived_timestamp_seconds")).map(|(ended, archived)| (ended - archived).max(0.0));
    let left = ended.zip(of("window_end_timestamp_seconds")).map(|(ended, end)| (end - ended).max(0.0));
    for ((name, help), value) in [(LAG, lag), (LEFT, left)] {
        family(&mut text, name, help);
        push(&mut text, name, &labels, value);
    }
    family(&mut text, FINDINGS, "Findings of the last run, by kind.");
    for (kind, times) in report.get("findings").and_then(Value::as_object).into_iter().flatten() {
        let labels = format!("{{archive=\"{archive}\",verb=\"sync\",kind=\"{}\"}}", escaped(kind));
        push(&mut text, FINDINGS, &labels, times.as_f64());
    }
    text.push_str("# EOF\n");
    text
}

fn family(text: &mut String, name: &str, help: &str) {
    // A String takes everything.
    let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
}

fn push(text: &mut String, name: &str, labels: &str, value: Option<f64>) {
    if let Some(value) = value {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// The value of a metric in a text that was written here.
fn sample(text: &str, name: &str, labels: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(labels))?;
    line.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LABELS: &str = "{archive=\"s3://b/\\\"a\\\\\",verb=\"sync\"}";

    fn well() -> Value {
        json!({
            "archive": "s3://b/\"a\\", "ended": "2026-11-30T08:00:00.5Z", "seconds": 12.5, "exit_code": 0, "caught_up": true,
            "documents": 7, "version": 42, "checked_at": "2026-11-30T07:59:59Z", "lag_seconds": 1, "deltas_left_seconds": 100,
            "gaps": [], "suspects": [{}, {}], "store_requests": null, "findings": {"retry": 2, "gap": 1},
        })
    }

    fn value(text: &str, name: &str) -> Option<f64> {
        sample(text, &format!("convex_archiver_{name}"), LABELS)
    }

    #[test]
    fn a_report_becomes_samples_and_what_it_does_not_tell_is_absent() {
        let text = text(&well(), "");
        for (name, expected) in [
            ("last_run_timestamp_seconds", Some(1_796_025_600.5)),
            ("last_success_timestamp_seconds", Some(1_796_025_600.5)),
            ("archived_timestamp_seconds", Some(1_796_025_599.5)),
            ("window_end_timestamp_seconds", Some(1_796_025_700.5)),
            ("lag_seconds", Some(1.0)),
            ("window_left_seconds", Some(100.0)),
            ("last_run_documents", Some(7.0)),
            ("last_run_gaps", Some(0.0)),
            ("suspect_tables", Some(2.0)),
            ("last_run_store_requests", None),
            ("last_run_tombstones", None),
        ] {
            assert_eq!(value(&text, name), expected, "{name}\n{text}");
        }
        assert!(text.contains("verb=\"sync\",kind=\"retry\"} 2\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn of_a_failed_run_the_archive_is_what_it_was_and_the_lag_has_grown() {
        let before = text(&well(), "");
        let failed = json!({
            "archive": "s3://b/\"a\\", "ended": "2026-11-30T09:00:00.5Z", "seconds": 1, "exit_code": 5, "version": null,
        });
        let after = text(&failed, &before);
        for (name, expected) in [
            ("last_run_exit_code", Some(5.0)),
            ("last_run_timestamp_seconds", Some(1_796_029_200.5)),
            ("last_success_timestamp_seconds", Some(1_796_025_600.5)),
            ("version", Some(42.0)),
            ("lag_seconds", Some(3601.0)),
            ("window_left_seconds", Some(0.0)),
            ("last_run_documents", None),
        ] {
            assert_eq!(value(&after, name), expected, "{name}\n{after}");
        }
        let findings = json!({ "archive": "s3://b/\"a\\", "ended": "2026-11-30T10:00:00.5Z", "exit_code": 3 });
        let after = text(&findings, &after);
        assert_eq!(value(&after, "last_success_timestamp_seconds"), Some(1_796_032_800.5));
        assert_eq!(value(&after, "last_clean_timestamp_seconds"), Some(1_796_025_600.5));
    }

    #[test]
    fn what_another_archive_wrote_there_is_not_taken_over() {
        let other = text(&json!({ "archive": "b", "ended": "2026-11-30T08:00:00Z", "exit_code": 0, "version": 1 }), "");
        let failed = json!({ "archive": "a", "ended": "2026-11-30T09:00:00Z", "exit_code": 1 });
        assert!(!text(&failed, &other).contains("convex_archiver_version{"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_everybody_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("convex.prom");
        write(&file, &well()).unwrap();
        write(&file, &well()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text(&well(), ""));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        }
        assert!(write(&folder.path().join("none/convex.prom"), &well()).is_err());
    }
}
