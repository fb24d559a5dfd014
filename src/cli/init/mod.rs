//! The verb `init`.

mod args;
mod render;
mod schedule;

use std::{
    fs::OpenOptions,
    io::{BufRead, IsTerminal, Write as _},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use convex_archiver::{Error, Result, archive::Location};

pub(super) use self::args::InitArgs;
use self::{
    args::Scheduler,
    render::{NewFile, Setup, files},
    schedule::Every,
};
use super::{check, config::DeploymentArgs, outcome::Outcome, output, units};

/// What flags and answers say.
struct Wanted {
    archive: String,
    deployment: DeploymentArgs,
    every: Every,
    schedulers: Vec<Scheduler>,
}

pub(super) async fn run(args: &InitArgs) -> Result<Outcome> {
    let wanted = ask(args)?;
    let url = Location::url_of(&wanted.archive)?;
    let said = wanted.deployment.access()?;
    let deployment_url = [&said.deployment, &said.self_hosted_url, &said.url]
        .into_iter()
        .find_map(|url| url.as_deref().map(str::trim).filter(|url| !url.is_empty()));
    let mut deployment = deployment_url.map(str::to_owned);
    if !args.skip_check {
        let looked_at = check::Wanted {
            archive: &wanted.archive,
            deployment: &wanted.deployment,
            selection: None,
            read_only: false,
        };
        let found = check::look(&looked_at).await?;
        output::print(&(check::text(&found.checks) + "\n"))?;
        if found.outcome() == Outcome::Findings && !args.force {
            output::print(
                "Nothing was written. Fix this and run init again, or use --force to write the files anyway.\n",
            )?;
            return Ok(Outcome::Findings);
        }
        deployment = found.deployment.or(deployment);
    }
    let setup = Setup {
        archive: &url,
        deployment: deployment.as_deref().unwrap_or("of your deploy key"),
        deployment_url,
        allow_http: said.allow_http,
        every: wanted.every,
        image: &args.image,
        program: &args.program,
        key_file: &args.key_file,
    };
    let mut made = Vec::new();
    for scheduler in &wanted.schedulers {
        made.extend(files(*scheduler, &setup)?);
    }
    let written = write(&made, &args.output, args.force)?;
    output::print(&next_steps(&written, &url))?;
    Ok(Outcome::Done)
}

/// What no flag says is asked for, where somebody can answer.
fn ask(args: &InitArgs) -> Result<Wanted> {
    let can_answer = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let missing = |flag: &str| {
        Error::usage(format!(
            "{flag} is missing, and init cannot ask for it because stdin or stderr is not a terminal: add the flag"
        ))
    };
    let archive = match &args.archive {
        Some(archive) => archive.clone(),
        None if can_answer => {
            question("Location of the archive? (s3://bucket/prefix, gs://…, az://…, or a folder)", None)?
        }
        None => return Err(missing("--archive")),
    };
    let mut deployment = args.deployment.clone();
    if can_answer && !args.skip_check && deployment.has_no_key()? {
        let key_file =
            question("File with the deploy key? (create a key in the deployment's settings on the dashboard)", None)?;
        let url = question("URL of the deployment? (leave empty for a deployment in Convex's cloud)", Some(""))?;
        deployment = deployment.with(PathBuf::from(key_file), Some(url).filter(|url| !url.is_empty()));
    }
    let every = match args.every {
        Some(every) => every,
        None if can_answer => {
            let text = question("How often?", Some("1h"))?;
            let time = units::some_duration(&text).map_err(Error::usage)?;
            Every::new(time).map_err(Error::usage)?
        }
        None => return Err(missing("--every")),
    };
    let schedulers = match &args.write[..] {
        [] if can_answer => {
            let names: Vec<_> = Scheduler::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
            let names: Vec<_> = names.iter().map(|name| name.get_name().to_owned()).collect();
            let text = question(&format!("Which scheduler? ({})", names.join(", ")), None)?;
            let chosen = text.split([',', ' ']).filter(|word| !word.is_empty());
            let chosen = chosen.map(|word| {
                Scheduler::from_str(word, true).map_err(|_| {
                    Error::usage(format!("`{}` is not a scheduler: use {}", word.escape_debug(), names.join(", ")))
                })
            });
            chosen.collect::<Result<_>>()?
        }
        [] => return Err(missing("--write")),
        chosen => chosen.to_vec(),
    };
    Ok(Wanted { archive, deployment, every, schedulers })
}

/// An answer, from the terminal. An empty one is `default`; without one it is asked again.
fn question(text: &str, default: Option<&str>) -> Result<String> {
    loop {
        let shown = default.filter(|default| !default.is_empty()).map(|default| format!(" [{default}]"));
        let mut stderr = std::io::stderr().lock();
        // What cannot be asked is not answered either.
        let _ = write!(stderr, "{text}{} ", shown.unwrap_or_default()).and_then(|()| stderr.flush());
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let read = read.map_err(|e| Error::resource("cannot read the answer").with_source(e))?;
        match (line.trim(), default) {
            ("", _) if read == 0 => {
                return Err(Error::usage("there was no answer: use flags instead (`init --help` lists them)"));
            }
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

/// Writes the files; where they are.
///
/// # Errors
/// Usage, if one is there and may not be replaced: then none was written.
fn write(files: &[NewFile], folder: &Path, force: bool) -> Result<Vec<PathBuf>> {
    let failed = |path: &Path, e: std::io::Error| {
        Error::resource(format!("cannot write {}: choose another --output", path.display())).with_source(e)
    };
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let paths: Vec<_> = files.iter().map(|file| folder.join(file.name)).collect();
    if let Some(there) = paths.iter().find(|path| !force && path.exists()) {
        return Err(Error::usage(format!(
            "{} already exists: choose another --output, or use --force",
            there.display()
        )));
    }
    for (file, path) in files.iter().zip(&paths) {
        let mut options = OpenOptions::new();
        options.write(true).truncate(true);
        let opened = if force { options.create(true).open(path) } else { options.create_new(true).open(path) };
        opened.and_then(|mut opened| opened.write_all(file.text.as_bytes())).map_err(|e| failed(path, e))?;
    }
    Ok(paths)
}

fn next_steps(written: &[PathBuf], archive: &str) -> String {
    let wrote: String = written.iter().map(|path| format!("Wrote {}\n", path.display())).collect();
    let archive = shlex::try_quote(archive).unwrap_or(std::borrow::Cow::Borrowed(archive));
    format!(
        "{wrote}\nThe top of each file says where the deploy key goes and how to install the file. After the first \
         run:\n\n  \
         convex-archiver status --archive {archive}             shows the state of the archive\n  \
         convex-archiver restore --archive {archive} --output now.zip   shows that you can get the data back\n"
    )
}
