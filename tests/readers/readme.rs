//! What the README and the guides show, run as it stands there, and compared with what stands below it.
//!
//! Where a document names a bucket, a folder stands in for it; where it names a deployment, a simulated one. Both have a past of some days. What is shown
//! of `demo-archive` is compared letter by letter. Elsewhere numbers, times and sizes may differ, but no word. A line `…` stands for any number of lines,
//! and ` …` at the end of a line for the rest of it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    TableRef, Timestamp, Value,
    server::{Contents, SimulatedDeployment},
};
use regex::Regex;

use crate::tools::{
    process::block_on,
    python,
    world::{KEY, World},
};

const README: &str = "README.md";

/// What is shown and not run here, by how it begins; and what holds it. Each of them has to be shown somewhere.
const ELSEWHERE: [(&str, &str); 16] = [
    ("npx convex import", "clients: the_import_of_convex_into_a_fake…, with Convex's own program"),
    ("npx convex-archiver", "clients: npm; the package of this version is not published"),
    ("cargo run -- demo", "cli: demo, by the program itself"),
    ("cargo test", "this"),
    ("cargo install", "not run: it builds the program anew"),
    ("cargo binstall", "not run: nothing is published"),
    ("docker ", "not run: there is no engine; packaging/check runs the image's content"),
    ("sha256sum", "packaging/check"),
    ("gh attestation", "not run: there is no attestation yet"),
    ("tar -xzf", "packaging/check"),
    ("convex-archiver init", "cli: init, with answers typed on a terminal"),
    ("dbt build", "readers: dbt"),
    ("spark-submit", "readers: scripts"),
    ("convex-archiver views --engine dbt", "readers: dbt"),
    ("convex-archiver schema --archive s3://bucket/happy-otter --format dbt", "readers: dbt"),
    ("convex-archiver query --archive s3://bucket/happy-otter ", "cli: query; DuckDB's shell waits for a person"),
];

/// What ends with another exit code than 0 here, and why.
const CODES: [(&str, i32); 1] = [
    // A document was deleted as well, and a mutation cannot put that back.
    ("--as mutation", 3),
];

/// Programs whose names begin a command where no `$` does.
const PROGRAMS: [&str; 8] = ["convex-archiver", "cargo", "npx", "docker", "sha256sum", "gh", "tar", "dbt"];

/// A command, and what the document shows below it.
#[derive(Debug)]
struct Shown {
    place: String,
    section: String,
    command: String,
    output: Vec<String>,
}

/// The commands of a document: in blocks that are indented by four, and in fences of `sh`.
fn commands(document: &str, text: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let (mut fence, mut open, mut section) = (None::<String>, false, String::new());
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.to_owned()) };
            open = false;
            continue;
        }
        if fence.is_none() && line.starts_with("## ") {
            line.clone_into(&mut section);
        }
        let inside = match fence.as_deref() {
            Some("sh") => Some(line),
            Some(_) => None,
            None => line.strip_prefix("    ").or((line.is_empty() && open).then_some("")),
        };
        // `questions.rs` runs those.
        let Some(line) = inside.filter(|_| section != "## Questions") else {
            open = false;
            continue;
        };
        let begins = line.strip_prefix("$ ").or_else(|| {
            let word = line.split(' ').next().unwrap();
            (!open || found.last().is_some_and(|shown| shown.output.is_empty()))
                .then_some(line)
                .filter(|_| PROGRAMS.contains(&word))
        });
        match (begins, found.last_mut()) {
            (Some(command), _) => {
                let place = format!("{document}:{}", number + 1);
                found.push(Shown { place, section: section.clone(), command: command.to_owned(), output: Vec::new() });
                open = true;
            }
            (None, Some(last)) if open && last.command.ends_with('\\') => {
                last.command.pop();
                last.command.push_str(line.trim_start());
            }
            (None, Some(last)) if open => last.output.push(line.to_owned()),
            _ => {}
        }
    }
    for shown in &mut found {
        while shown.output.last().is_some_and(String::is_empty) {
            shown.output.pop();
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and the guides, by their names.
fn documents() -> Vec<(String, String)> {
    let guides = std::fs::read_dir(root().join("examples/guides")).unwrap();
    let mut paths: Vec<PathBuf> = guides.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.insert(0, root().join(README));
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(named).collect()
}

/// A deployment with a past of three days, its archive in `happy-otter`, a copy of that in `elsewhere`.
async fn otter(folder: &Path) -> World {
    const HOUR: i64 = 3_600_000_000_000;
    let now = Timestamp::now().0;
    let clock = Arc::new(AtomicI64::new(now - 72 * HOUR));
    let look = Arc::clone(&clock);
    let deployment =
        SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(look.fetch_add(1, Ordering::SeqCst)));
    deployment.insert_all(Contents::Generated(300).documents(7).unwrap()).unwrap();
    let world = World::of(deployment).await;
    let place = folder.join("happy-otter").to_str().unwrap().to_owned();
    world.catch_up(&place).await;
    let d = &world.deployment;
    let messages = TableRef::new("", "messages").unwrap();
    let ids: Vec<String> = d.state_at(Timestamp(i64::MAX))[&messages].keys().take(4).cloned().collect();
    let author = |name: &str| BTreeMap::from([("author".to_owned(), Value::String(name.into()))]);
    for (before, deleted, name) in [(26 * HOUR, &ids[1], "Ada"), (5 * HOUR / 2, &ids[2], "Bob")] {
        clock.store(now - before, Ordering::SeqCst);
        d.transaction(|t| t.replace(&messages, &ids[0], author(name))).unwrap();
        d.transaction(|t| t.delete(&messages, deleted)).unwrap();
    }
    clock.store(now, Ordering::SeqCst);
    d.transaction(|t| t.replace(&messages, &ids[3], author("Cleo"))).unwrap();
    world.catch_up(&place).await;
    world
}

/// The shell in which a document's commands are typed.
struct Typed {
    folder: tempfile::TempDir,
    world: World,
    /// Where documents are restored to.
    target: World,
    variables: BTreeMap<String, String>,
    /// The section that set variables of its own, and those.
    exported: (String, Vec<(String, String)>),
    /// What runs on in another terminal, and its URL.
    simulation: Option<(Child, String)>,
}

impl Drop for Typed {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.simulation {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Typed {
    async fn open(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = otter(folder.path()).await;
        let target = World::named("kind-fox-7").await;
        let variables = [
            ("CONVEX_DEPLOY_KEY", KEY),
            ("TARGET_KEY", KEY),
            ("CONVEX_URL", world.url.as_str()),
            ("HOME", folder.path().to_str().unwrap()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let typed = Self { folder, world, target, variables, exported: Default::default(), simulation: None };
        typed.run("convex-archiver -q copy --archive happy-otter --to elsewhere", 0);
        if text.contains("demo-archive") {
            typed.run("convex-archiver -q demo", 0);
        }
        std::fs::create_dir(typed.folder.path().join("macros")).unwrap();
        std::fs::create_dir(typed.folder.path().join("models")).unwrap();
        typed
    }

    /// The command with what this machine has in the place of what it has not.
    fn here(&self, command: &str) -> String {
        let day = (Timestamp::now().to_datetime() - chrono::TimeDelta::days(1)).format("%Y-%m-%d").to_string();
        let simulation = self.simulation.as_ref().map_or("", |(_, url)| url);
        let mut here = command.to_owned();
        for (shown, real) in [
            ("s3://bucket/happy-otter", "happy-otter"),
            ("gs://elsewhere/happy-otter", "elsewhere"),
            ("gs://other-bucket/happy-otter", "other"),
            ("https://kind-fox-7.convex.cloud", &self.target.url),
            ("https://happy-otter-123.convex.cloud", &self.world.url),
            ("'dev:kind-fox-7|…'", &format!("'{KEY}'")),
            ("http://127.0.0.1:3217", simulation),
            (" simulate ", " simulate --listen 127.0.0.1:0 "),
            (
                "convex-archiver serve ",
                "timeout --preserve-status -s INT 2 convex-archiver serve --listen 127.0.0.1:0 ",
            ),
            // It asks, and nobody answers.
            (" --into ", " --yes --into "),
        ] {
            here = here.replace(shown, real);
        }
        if command.contains("demo-archive") { here } else { here.replace("2026-11-24", &day) }
    }

    fn shell(&self, line: &str) -> Command {
        let programs = [Path::new(env!("CARGO_BIN_EXE_convex-archiver")), python::python()];
        let mut path: Vec<PathBuf> = programs.iter().map(|program| program.parent().unwrap().to_owned()).collect();
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(&self.folder).env_clear().envs(&self.variables);
        shell.envs(self.exported.1.iter().map(|(name, value)| (name, value)));
        shell.env("PATH", std::env::join_paths(path).unwrap()).stdin(Stdio::null());
        shell
    }

    #[track_caller]
    fn run(&self, line: &str, code: i32) -> String {
        let ended = self.shell(line).output().unwrap();
        let (out, error) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.status.code(), Some(code), "{line}\n{out}\n{error}");
        out
    }

    /// Goes on in another terminal. What it prints until it has told its key.
    fn simulate(&mut self, line: &str) -> String {
        let mut child = self.shell(&format!("exec {line}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said += &(line.unwrap() + "\n");
            if said.contains("\nKey: ") {
                break;
            }
        }
        let url = said.lines().find_map(|line| line.strip_prefix("URL: ")).unwrap().to_owned();
        self.simulation = Some((child, url));
        said
    }

    #[track_caller]
    fn type_in(&mut self, shown: &Shown) {
        if self.exported.0 != shown.section {
            self.exported = (shown.section.clone(), Vec::new());
        }
        if let Some((name, value)) = shown.command.strip_prefix("export ").and_then(|set| set.split_once('=')) {
            self.exported.1.push((name.to_owned(), value.trim_matches('\'').to_owned()));
            return;
        }
        let code = CODES.iter().find(|(part, _)| shown.command.contains(part)).map_or(0, |(_, code)| *code);
        let line = self.here(&shown.command);
        let line = line.trim_end();
        let printed = if line.contains(" simulate ") { self.simulate(line) } else { self.run(line, code) };
        if !shown.output.is_empty() {
            let exact = shown.command.contains("demo-archive");
            let folder = self.folder.path().to_str().unwrap();
            let printed: Vec<String> = printed.trim_end().lines().map(|line| line.replace(folder, "/tmp")).collect();
            let same = fits(&shown.output, &printed, exact);
            assert!(same, "{}: {}\nprints\n{}", shown.place, shown.command, printed.join("\n"));
        }
    }
}

/// Whether lines are those that a document shows.
fn fits(shown: &[String], printed: &[String], exact: bool) -> bool {
    let Some((first, rest)) = shown.split_first() else { return printed.is_empty() };
    if first.trim() == "…" {
        return (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..], exact));
    }
    let Some((line, more)) = printed.split_first() else { return false };
    let plain = |text: &str| if exact { text.to_owned() } else { shape(text) };
    let same = match first.strip_suffix(" …") {
        Some(beginning) => plain(line).starts_with(&plain(beginning)),
        None => plain(line).trim_end() == plain(first).trim_end(),
    };
    same && fits(rest, more, exact)
}

/// A line without its numbers, times, sizes, digests and addresses, and with single spaces.
fn shape(line: &str) -> String {
    static VARY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"[0-9a-f]{64}|[0-9][0-9,.:-]*( (B|KiB|MiB))?|\b(seconds?|minutes?|hours?|days?)\b| +").unwrap()
    });
    VARY.replace_all(line, |found: &regex::Captures<'_>| if found[0].trim().is_empty() { " " } else { "0" })
        .into_owned()
}

fn run_all(wanted: impl Fn(&str) -> bool) {
    block_on(async {
        for (name, text) in documents().into_iter().filter(|(name, _)| wanted(name)) {
            let mut typed = Typed::open(&text).await;
            for shown in commands(&name, &text) {
                if ELSEWHERE.iter().any(|(begins, _)| shown.command.starts_with(begins)) {
                    continue;
                }
                tokio::task::block_in_place(|| typed.type_in(&shown));
            }
        }
    });
}

#[test]
fn every_command_of_the_readme_works_as_pasted_and_prints_what_stands_there() {
    run_all(|name| name == README);
}

#[test]
fn every_command_of_the_guides_works_as_pasted_and_prints_what_stands_there() {
    run_all(|name| name != README);
}

#[test]
fn what_is_not_run_here_is_shown_somewhere() {
    let shown: Vec<String> =
        documents().iter().flat_map(|(name, text)| commands(name, text)).map(|shown| shown.command).collect();
    for (begins, _) in ELSEWHERE {
        assert!(shown.iter().any(|command| command.starts_with(begins)), "{begins}");
    }
    assert!(shown.len() > 60, "{shown:#?}");
}

#[test]
fn lines_that_are_left_out_and_numbers_that_vary_fit_and_other_words_do_not() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = lines("As of  5\nHolds  1,584 documents, 1.5 MiB\nlast");
    for (shown, exact, expected) in [
        ("As of  5\nHolds  1,584 documents, 1.5 MiB\nlast", true, true),
        ("…\nlast", true, true),
        ("As of  5\n…", true, true),
        ("As of  5\nHolds  1,584 …\nlast", true, true),
        ("As of  6\n…", true, false),
        ("As of  6\n…", false, true),
        ("As of  5\nHolds  7 documents, 12 B\nlast", false, true),
        ("As of  5\nHolds  7 tombstones, 12 B\nlast", false, false),
        ("As of  5\nlast", false, false),
    ] {
        assert_eq!(fits(&lines(shown), &printed, exact), expected, "{shown} {exact}");
    }
}
