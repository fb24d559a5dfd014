"""What becomes of the packages where the real npm and npx install them, from a registry on this machine: each story says how it ends."""

import os
import pathlib
import signal
import subprocess

from . import npm, tools
from .processes import Running, check, ended, environment
from .registry import packed, serving
from .targets import NAME, TARGETS, VERSION

SIMULATE = ["simulate", "--listen", "127.0.0.1:0"]
KEY = "otter-1|a1b2c3d4e5f6"
# The newest that runs with Node 20 to 24.
PNPM = "12.4.2"
# Where the processes of others can be looked at.
PROC = pathlib.Path("/proc/self/stat").exists()


class Installed:
    """A folder in which npm has installed `convex-archiver`, or not all of it."""

    def __init__(self, program, folder, env):
        self.program, self.folder, self.env = program, folder, env
        self.shim = folder / "node_modules" / ".bin" / NAME

    def both(self, arguments, stdin=b"", env=None):
        """How the program ends by itself, and as it is installed: (code, stdout, stderr) of each."""
        env = self.env | (env or {})
        return tuple(ended([program, *arguments], self.folder, env, stdin) for program in (self.program, self.shim))

    def run(self, command, until, **more):
        return Running(command, self.folder, self.env | more, until)

    # --- stories -------------------------------------------------------------------------------------------------------

    def the_package_of_this_platform_is_installed_and_no_other(self, target):
        found = sorted(path.name for path in (self.folder / "node_modules" / target.package.partition("/")[0]).iterdir())
        check(found == [target.package.partition("/")[2]], found)

    def npx_runs_the_program(self):
        npx = ended(["npx", NAME, "--version"], self.folder, self.env)
        check(npx == (0, f"{NAME} {VERSION}\n", ""), npx)

    def exit_code_and_errors_are_the_programs(self):
        for arguments in (["sync", "--nonsense"], ["status", "--archive", str(self.folder / "none")], ["status", "--archive", "s4://a/b"]):
            alone, installed = self.both(arguments)
            check(alone == installed and alone[0] not in (0, None) and "error" in alone[2], alone, installed)
        npx = ended(["npx", NAME, *arguments], self.folder, self.env)
        check(alone == npx, alone, npx)

    def output_arrives_whole(self):
        alone, installed = self.both(["completions", "bash"])
        check(alone == installed and alone[0] == 0 and len(alone[1]) > 50_000, len(alone[1]), len(installed[1]))

    def standard_input_arrives(self):
        """`query -` reads SQL and hands it to the program `duckdb`, here one that repeats what it gets."""
        place, fakes = self.folder / "archive", self.folder / "fakes"
        with self.run([self.program, *SIMULATE, "--generate", "5", "--key", KEY], "Ctrl-C") as simulation:
            sync = [self.program, "-q", "sync", "--deployment", simulation.value("URL:"), "--archive", place]
            synced = ended(sync, self.folder, self.env | {"CONVEX_DEPLOY_KEY": KEY})
            check(synced[0] == 0, synced)
        fakes.mkdir()
        (fakes / "duckdb").write_text("#!/bin/sh\nexec cat\n")
        (fakes / "duckdb").chmod(0o755)
        path = {"PATH": f"{fakes}{os.pathsep}{self.env['PATH']}"}
        alone, installed = self.both(["query", "--archive", str(place), "-"], b"SELECT 'from the standard input'", path)
        check(alone == installed and alone[0] == 0 and "'from the standard input'" in alone[1], alone, installed)

    def a_signal_to_the_shim_ends_the_program_as_one_to_the_program(self):
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            ends = []
            for command in (self.program, self.shim):
                with self.run([command, *SIMULATE], "Ctrl-C") as running:
                    os.kill(running.process.pid, signal.Signals[name])
                    ends.append((running.end(), running.said[-1]))
            check(ends[0] == ends[1] and ends[0][0] == (-signal.SIGHUP if name == "SIGHUP" else 0), name, *ends)

    def a_sigterm_to_npx_ends_the_program(self):
        with self.run(["npx", NAME, *SIMULATE], "Ctrl-C") as running:
            os.kill(running.process.pid, signal.SIGTERM)
            # The program holds the other end of its output.
            running.end()

    def a_program_that_is_killed_kills_the_shim(self):
        with self.run([self.shim, *SIMULATE], "Ctrl-C") as running:
            program, _, _ = running.wait_for(lambda one: one[0] != running.process.pid and "simulate" in one[2])
            os.kill(program, signal.SIGKILL)
            check(running.end() == -signal.SIGKILL, running.process.returncode)

    def no_process_shows_the_deploy_key(self):
        with self.run([self.program, *SIMULATE, "--latency", "1h", "--key", KEY], "Ctrl-C") as simulation:
            sync = ["sync", "--deployment", simulation.value("URL:"), "--archive", "keyed", "-vv"]
            with self.run(["npx", NAME, *sync], "connected to", CONVEX_DEPLOY_KEY=KEY) as running:
                family = running.family()
        # npm's process, the shim, the program: what they show is looked at.
        check(len([one for one in family if "sync" in one[2]]) >= 3, *family)
        secret = KEY.partition("|")[2]
        check(not [one for one in family if secret in one[1] + one[2]], *family)

    def an_interrupt_of_the_whole_terminal_ends_at_a_commit(self):
        """Ctrl-C reaches npm, the shim and the program, and the first two pass it on besides."""
        slow = ["--generate", "1000", "--snapshot-page", "25", "--latency", "60ms"]
        with self.run([self.program, *SIMULATE, "--key", KEY, *slow], "Ctrl-C") as simulation:
            sync = ["sync", "--deployment", simulation.value("URL:"), "--archive", "half"]
            with self.run(["npx", NAME, *sync], "table 2 of", CONVEX_DEPLOY_KEY=KEY) as running:
                os.killpg(running.process.pid, signal.SIGINT)
                # npm's shell is interrupted, too: npx itself ends with that.
                running.end()
        said = "".join(running.said)
        check("ending at the next commit" in said and "exit_code=0" in said, said)
        status = ended([self.program, "status", "--archive", "half"], self.folder, self.env)
        check("snapshot" in status[1], status)


def without_its_program(folder, main, env):
    """The error where npm was told to leave optional dependencies out, and where there is no package for a platform."""
    done = ended(["npm", "install", "--omit=optional", NAME], folder, env)
    check(done[0] == 0, done)
    shim = folder / "node_modules" / ".bin" / NAME
    code, out, error = ended([shim, "sync"], folder, env)
    check(code == 2 and out == "" and "--omit=optional" in error and f"npm install --include=optional {NAME}@{VERSION}" in error, code, error)
    (folder / "elsewhere.cjs").write_text('Object.defineProperty(process, "platform", { value: "sunos" });\n')
    code, out, error = ended(["node", "--require", folder / "elsewhere.cjs", shim, "sync"], folder, env)
    check(code == 2 and out == "" and "for sunos" in error and "cargo install" in error, code, error)


def pnpm_installs_it(folder, env, url):
    """pnpm does not look at npm's settings in the environment."""
    # What its script of installation would put into its place, had it been let run.
    pnpm = ["node", tools.node(f"pnpm@{PNPM}") / "pnpm" / "bin" / "pnpm.mjs"]
    (folder / ".npmrc").write_text(f"registry={url}/\n")
    where = [f"--store-dir={folder / 'store'}", "--config.minimum-release-age=0"]
    done = ended([*pnpm, "add", *where, NAME], folder, env)
    check(done[0] == 0, done)
    done = ended([*pnpm, "exec", NAME, "--version"], folder, env)
    check(done[0] == 0 and done[1].endswith(f"{NAME} {VERSION}\n"), done)


def run(program, target, scratch, pack_by_npm, tell):
    """`pack_by_npm`: as for a release, which takes a debug program too long. `tell` is told of each story that has ended well."""
    packages, tarballs, nothing = scratch / "packages", scratch / "tarballs", scratch / "nothing"
    tarballs.mkdir(parents=True)
    nothing.write_text("for another platform")
    folders = [npm.main(packages)]
    folders += [npm.platform(one, program if one == target else nothing, packages) for one in TARGETS]
    for folder in folders:
        if pack_by_npm:
            tools.run("npm", "pack", "--silent", "--pack-destination", tarballs, cwd=folder)
        else:
            packed(folder, tarballs)

    def project(name):
        (scratch / name).mkdir()
        (scratch / name / "package.json").write_text('{"private": true}')
        return scratch / name

    with serving(tarballs.iterdir()) as (url, asked):
        quiet = {"audit": "false", "fund": "false", "update_notifier": "false", "userconfig": os.devnull, "loglevel": "error"}
        settings = {"registry": url, "cache": str(scratch / "cache"), **quiet}
        env = environment(HOME=str(scratch), COREPACK_ENABLE_STRICT="0", **{f"npm_config_{name}": value for name, value in settings.items()})
        installed = Installed(program, project("project"), env)
        done = ended(["npm", "install", NAME], installed.folder, env)
        check(done[0] == 0, done)
        tarball = [path for path in asked if path.startswith("tarballs/")]
        check(len(tarball) == 2, tarball)
        installed.the_package_of_this_platform_is_installed_and_no_other(target)
        tell(f"npm installs {NAME} and {target.package}, and downloads no other")
        for story in STORIES:
            if story in NEEDS_PROC and not PROC:
                tell(f"not looked at, as there is no /proc: {story.__name__.replace('_', ' ')}")
                continue
            story(installed)
            tell(story.__name__.replace("_", " "))
        without_its_program(project("without"), folders[0], env)
        tell("without its program the shim says what to install")
        if pack_by_npm:
            # What is passed on must arrive within half a second: not to be asked of a machine that runs all tests.
            installed.an_interrupt_of_the_whole_terminal_ends_at_a_commit()
            tell("an interrupt of the whole terminal ends at a commit")
            code, out, error = ended(["npx", "--yes", NAME, "--version"], project("npx"), env)
            check((code, out) == (0, f"{NAME} {VERSION}\n"), code, out, error)
            tell("npx alone fetches it and runs it")
            pnpm_installs_it(project("pnpm"), env, url)
            tell(f"pnpm {PNPM} installs it and runs it")


STORIES = [
    Installed.npx_runs_the_program,
    Installed.exit_code_and_errors_are_the_programs,
    Installed.output_arrives_whole,
    Installed.standard_input_arrives,
    Installed.a_signal_to_the_shim_ends_the_program_as_one_to_the_program,
    Installed.a_sigterm_to_npx_ends_the_program,
    Installed.a_program_that_is_killed_kills_the_shim,
    Installed.no_process_shows_the_deploy_key,
]
NEEDS_PROC = {Installed.a_program_that_is_killed_kills_the_shim, Installed.no_process_shows_the_deploy_key}
