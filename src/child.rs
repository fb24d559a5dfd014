//! Programs that the user names and whose output is wanted: a key, credentials.
//!
//! A child finds this process's environment without keys of deployments, whatever its variables are called.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::error::{Error, Result};

/// Variables of ours and of Convex's own tools, keys among them.
const OURS: &str = "CONVEX_";
/// How long an answer is waited for: some programs ask their own servers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether the child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Longest piece of what the child says on stderr that is shown, characters.
const SHOWN: usize = 300;

/// Takes keys, and what is only for this program, out of the environment of a child.
pub fn without_keys(child: &mut Command) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a child inherits it, so it has to be known what must not be handed on"
    )]
    for (name, value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OURS) || looks_like_a_key(&value.to_string_lossy()) {
            child.env_remove(name);
        }
    }
}

/// Whether a text has the form of a deploy key, `prod:NAME|SECRET`: it may stand in a variable of any name, such as one that
/// `--key-env` names.
fn looks_like_a_key(text: &str) -> bool {
    let Some((front, secret)) = text.trim().split_once('|') else { return false };
    let of =
        |text: &str, others: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b));
    !front.is_empty() && of(front, ":_-") && secret.len() >= 8 && of(secret, "+/=_-.")
}

/// A command line, as the shell takes it.
pub(crate) fn shell(line: &str) -> Command {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut command = Command::new(shell);
    command.arg(flag).arg(line);
    command
}

/// What the program prints on stdout. It has a minute, an empty stdin, and blocks this thread.
///
/// # Errors
/// Access, if it cannot be started, fails, or takes longer; what it said on stderr is in the sentence, what it printed is not.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>> {
    without_keys(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| Error::access(format!("it cannot be started ({e})")).with_source(e))?;
    // Both are read at once: who fills one pipe waits.
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let ended = wait(&mut child);
    if ended.is_none() {
        // It may have ended by now, and what it has left behind may hold the pipes: they are not waited for.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::access(format!("it did not end within {} seconds", PATIENCE.as_secs())));
    }
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    match ended {
        Some(Ok(status)) if status.success() => Ok(stdout),
        Some(Ok(status)) => {
            let said: String = String::from_utf8_lossy(&stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            let said: String = said.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            Err(Error::access(format!("it failed ({status}){said}")))
        }
        Some(Err(e)) => Err(Error::access(format!("its exit status is unknown ({e})")).with_source(e)),
        None => Err(Error::internal("a child process neither ended nor was ended: report it")),
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut text = Vec::new();
        // What was read before an error is all that there is.
        let _ = pipe.read_to_end(&mut text);
        text
    })
}

/// How it ended; None, if it has not.
fn wait(child: &mut Child) -> Option<std::io::Result<std::process::ExitStatus>> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match child.try_wait() {
            Ok(None) => thread::sleep(LOOK_EVERY),
            Ok(Some(status)) => return Some(Ok(status)),
            Err(e) => return Some(Err(e)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_key_is_known_by_its_form_whatever_its_variable_is_called() {
        for (text, key) in [
            ("prod:happy-otter-123|eyJ2MiI6ImFiYyJ9", true),
            ("happy-otter-123|0123456789abcdef\n", true),
            ("preview:team:project|eyJ2MiI6ImFiYyJ9", true),
            ("| /usr/bin/lesspipe %s", false),
            ("", false),
            ("eu-central-1", false),
            ("wJalrXUtnFEMI/K7MDENG", false),
            ("a|b", false),
        ] {
            assert_eq!(looks_like_a_key(text), key, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_a_program_prints_is_taken_and_its_failure_is_told_in_its_words() {
        assert_eq!(output(shell("printf 'a b'; echo unheard >&2")).unwrap(), b"a b");
        // More than a pipe holds, on both.
        let much = output(shell("yes | head -c 300000; yes | head -c 300000 >&2")).unwrap();
        assert_eq!(much.len(), 300_000);
        let error = output(shell("echo secret; echo 'not signed in' >&2; exit 3")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Access);
        assert!(error.to_string().contains("not signed in") && !error.to_string().contains("secret"), "{error}");
        let mut missing = Command::new("/no/such/program");
        missing.arg("x");
        assert_eq!(output(missing).unwrap_err().kind(), ErrorKind::Access);
    }
}
