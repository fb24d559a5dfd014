//! What a status tells of the last syncs, by the reports that the archive keeps.

use serde_json::Value;

use super::super::{output, units};

/// The last runs as a table, the newest first, under what they say together.
pub(super) fn text(reports: &[Value]) -> String {
    if reports.is_empty() {
        return "The archive has no reports of runs.\n".to_owned();
    }
    let header = ["Started", "Took", "Exit", "Version", "Documents", "Tombstones", "Read", "What"].map(str::to_owned);
    let rows = std::iter::once(header.to_vec()).chain(reports.iter().map(row));
    format!("{}\n{}", summary(reports), output::texts(&rows.collect::<Vec<_>>()))
}

/// Since when something is wrong, if it is.
fn summary(reports: &[Value]) -> String {
    let troubled: Vec<_> = reports.iter().take_while(|report| exit_code(report) != Some(0)).collect();
    let of = |n: usize| units::counted(n as u64, "run");
    match (troubled.len(), troubled.last()) {
        (0, _) => format!("The last run ended well. {} shown:\n", of(reports.len())),
        (n, Some(first)) => {
            let all = if n == reports.len() { " (all runs shown)" } else { "" };
            format!("The last {} did not end with exit code 0, since {}{all}. Their results:\n", of(n), started(first))
        }
        (_, None) => String::new(),
    }
}

fn exit_code(report: &Value) -> Option<u64> {
    report.get("exit_code")?.as_u64()
}

fn text_of<'a>(report: &'a Value, name: &str) -> Option<&'a str> {
    report.get(name)?.as_str()
}

/// To the second.
fn started(report: &Value) -> String {
    let text = text_of(report, "started").unwrap_or_default();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{} UTC", seconds.replace('T', " "))
}

fn row(report: &Value) -> Vec<String> {
    let number = |name: &str| report.get(name).and_then(Value::as_u64);
    let counted = |name: &str| number(name).map_or_else(String::new, units::count);
    let seconds = report.get("seconds").and_then(Value::as_f64);
    vec![
        started(report),
        seconds.map_or_else(String::new, |seconds| format!("{seconds:.1} s")),
        exit_code(report).map_or_else(String::new, |code| code.to_string()),
        counted("version"),
        counted("documents"),
        counted("tombstones"),
        number("response_bytes").map_or_else(String::new, units::bytes),
        what(report),
    ]
}

/// Why it failed, or what it found.
fn what(report: &Value) -> String {
    if let Some(error) = report.get("error") {
        let message = text_of(error, "message").unwrap_or_default();
        let first = message.lines().next().unwrap_or_default();
        return format!("{}: {}", text_of(error, "kind").unwrap_or_default(), shortened(first));
    }
    let mut said = Vec::new();
    if report.get("more_waiting").and_then(Value::as_bool) == Some(true) {
        said.push("more is waiting".to_owned());
    }
    for (kind, times) in report.get("findings").and_then(Value::as_object).into_iter().flatten() {
        said.push(format!("{kind} {times}"));
    }
    said.join(", ")
}

/// A line of a table.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(day: u32, exit_code: u64) -> Value {
        json!({ "started": format!("2026-11-{day:02}T03:00:00.123Z"), "seconds": 1.25, "exit_code": exit_code, "documents": 7 })
    }

    #[test]
    fn it_is_told_since_when_something_is_wrong() {
        let well = text(&[report(3, 0), report(2, 5)]);
        assert!(well.starts_with("The last run ended well. 2 runs shown:"), "{well}");
        let wrong = text(&[report(3, 5), report(2, 3), report(1, 0)]);
        assert!(
            wrong.starts_with("The last 2 runs did not end with exit code 0, since 2026-11-02 03:00:00 UTC."),
            "{wrong}"
        );
        let all = text(&[report(3, 1)]);
        assert!(
            all.starts_with("The last 1 run did not end with exit code 0, since 2026-11-03 03:00:00 UTC (all"),
            "{all}"
        );
        assert_eq!(text(&[]), "The archive has no reports of runs.\n");
    }

    #[test]
    fn a_line_says_what_was_found_or_why_it_failed() {
        let findings =
            json!({ "started": "2026-11-03T03:00:00Z", "more_waiting": true, "findings": {"gap": 1, "retry": 2} });
        assert_eq!(what(&findings), "more is waiting, gap 1, retry 2");
        let failed = json!({ "error": {"kind": "access", "message": format!("{}\nmore", "x".repeat(90)) } });
        assert_eq!(what(&failed), format!("access: {}…", "x".repeat(80)));
    }
}
