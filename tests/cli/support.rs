//! Child processes and what they said.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an optimised build holds of its own file, bytes: `RssFile` was 18.8 to 20.9 MiB for the release program in the commands of `reading`.
#[cfg(target_os = "linux")]
const CODE: u64 = 21 << 20;

const PROGRAM: &str = env!("CARGO_BIN_EXE_convex-archiver");

/// The key of every simulation of these tests.
pub(crate) const KEY: &str = "otter-1|a1b2c3d4e5f6";

/// The program, with nothing in its environment that would steer it.
pub(crate) fn archiver<const N: usize>(args: [&str; N]) -> Command {
    let mut command = unsteered(PROGRAM);
    command.args(args);
    command
}

/// A command line as a person types it, with the program on the PATH.
pub(crate) fn shell(line: &str) -> Command {
    let mut command = unsteered("sh");
    let path = std::env::var("PATH").unwrap();
    command.args(["-c", line]).env("PATH", format!("{}:{path}", Path::new(PROGRAM).parent().unwrap().display()));
    command
}

fn unsteered(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CONVEX_") || name.starts_with("AWS_") || name == "RUST_LOG" || name == "COLUMNS" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Stdout, which must be one JSON object.
    pub(crate) fn json(&self) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert!(value.is_object(), "{self:?}");
        value
    }

    /// Itself, if it ended with `code`.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// Runs to the end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ended {
    Running::start(command).end()
}

/// Runs to the end; with the most memory that it had, bytes. See [`Running::peak`].
#[cfg(target_os = "linux")]
pub(crate) fn run_measured(command: &mut Command) -> (Ended, u64) {
    tokio::task::block_in_place(|| {
        let mut running = Running::start(command);
        let peak = running.peak();
        (running.end(), peak)
    })
}

/// Serves these routes as long as the test lives; the URL.
pub(crate) async fn served(routes: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
}

/// A process under way. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stderr: mpsc::Receiver<String>,
    said: String,
    stdout: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, stderr) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut out = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, stderr, said: String::new(), stdout: Some(stdout) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line of its log contains `text`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if line.contains(text) {
                        return;
                    }
                }
                Err(e) => panic!("no `{text}` ({e}): {}", self.said),
            }
        }
    }

    /// Sends signals of these names, at one moment.
    pub(crate) fn signal(&self, names: &[&str]) {
        for name in names {
            let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
            assert!(status.success());
        }
    }

    /// Waits for its end; the most memory that it had until shortly before, bytes. Of the pages of the program's own file only what
    /// those of an optimised build take ([`CODE`]) is counted: those of the build that is tested are half as many again.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak(&mut self) -> u64 {
        let (begin, mut peak) = (Instant::now(), 0);
        while !self.has_ended() && begin.elapsed() < PATIENCE {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
            let bytes = |name: &str| {
                let kb = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
                kb.parse::<u64>().ok().map(|kb| kb << 10)
            };
            // The kernel's mark misses nothing between two looks.
            if let (Some(mark), Some(files)) = (bytes("VmHWM:"), bytes("RssFile:")) {
                peak = peak.max(mark - files.min(mark) + files.min(CODE));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        peak
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it at once, whatever it is doing (`SIGKILL`). Returns whether it was still at it.
    pub(crate) fn kill(mut self) -> bool {
        self.child.kill().unwrap();
        !self.child.wait().unwrap().success()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it hangs: {}", self.said);
            std::thread::sleep(Duration::from_millis(5));
        };
        let stdout = self.stdout.take().unwrap().join().unwrap();
        for line in &self.stderr {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        Ended { code: status.code(), stdout, stderr: std::mem::take(&mut self.said) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that answers requests until it is interrupted. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// What it printed at its start.
    pub(crate) said: String,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        for line in lines {
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let url = said.lines().find_map(|line| line.strip_prefix("URL: ")).expect("it tells its URL").to_owned();
        Self { child, url, said }
    }

    /// Interrupts it; how it ended.
    #[cfg(unix)]
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulated deployment, as another process.
pub(crate) struct Simulation(Server);

impl std::ops::Deref for Simulation {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Simulation {
    pub(crate) fn start<const N: usize>(args: [&str; N]) -> Self {
        Self(Server::start(archiver(["simulate", "--listen", "127.0.0.1:0", "--key", KEY]).args(args)))
    }

    /// Interrupts it; how it ended.
    #[cfg(unix)]
    pub(crate) fn interrupt(self) -> Option<i32> {
        self.0.interrupt()
    }

    /// A sync of it, with the key in a file beside the archive.
    pub(crate) fn sync(&self, archive: &Path) -> Command {
        let file = archive.with_extension("key");
        std::fs::write(&file, format!("{KEY}\n")).unwrap();
        let mut command = archiver(["sync", "--deployment", &self.url]);
        command.arg("--archive").arg(archive).arg("--deploy-key-file").arg(file);
        command
    }
}

/// `status --json` of an archive.
#[track_caller]
pub(crate) fn status(archive: &Path) -> serde_json::Value {
    run(archiver(["status", "--json"]).arg("--archive").arg(archive)).with(0).json()
}

/// The id of a document that a table of an archive holds.
#[track_caller]
pub(crate) fn a_document(archive: &Path, table: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let export = dir.path().join("export");
    let mut command = archiver(["export", "--format", "ndjson", "--table", table, "--json", "--archive"]);
    let report = run(command.arg(archive).arg("--output").arg(&export)).with(0).json();
    let exported = &report["tables"][0];
    let [folder, file] = [&exported["folder"], &exported["files"][0]].map(|name| name.as_str().unwrap());
    let text = std::fs::read_to_string(export.join(folder).join(file)).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    first["_id"].as_str().unwrap().to_owned()
}
