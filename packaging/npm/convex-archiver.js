#!/usr/bin/env node
// Runs the program, which is in the package for this platform: with the same arguments, input and output, every signal passed on, and
// the program's own end.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");
const { name, version, optionalDependencies } = require("./package.json");

// As the program's own code for what is to be mended: running again does not help.
const TO_BE_MENDED = 2;
const PASSED_ON = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];

function fail(...lines) {
  console.error(`error: ${lines.join("\n")}`);
  process.exit(TO_BE_MENDED);
}

// A package manager installs those of `optionalDependencies` whose os, cpu and libc are this machine's: one.
function findProgram() {
  const { platform, arch } = process;
  const file = platform === "win32" ? `${name}.exe` : name;
  const wanted = `@${name}/${platform}-${arch}`;
  const candidates = [wanted, `${wanted}-musl`].filter((candidate) => candidate in optionalDependencies);
  if (candidates.length === 0) {
    fail(
      `there is no package of ${name} for ${platform} ${arch}.`,
      `Where Rust is: cargo install --locked ${name}`,
    );
  }
  const found = candidates.flatMap((candidate) => {
    try {
      return [require.resolve(`${candidate}/${file}`)];
    } catch {
      return [];
    }
  });
  if (found.length === 0) {
    fail(
      `the program is in the package ${candidates.join(" or ")}, and that is not installed.`,
      "It is an optional dependency. A package manager leaves those out when it is told so (--no-optional, --omit=optional, or",
      "omit=optional in .npmrc), and some do when the lockfile was made on another platform. Install it with them:",
      `    npm install --include=optional ${name}@${version}`,
      `    npx --include=optional ${name}@${version} --version`,
    );
  }
  // Old package managers do not look at libc and install both. Only glibc has a version here.
  const both = found.length === 2 && !process.report.getReport().header.glibcVersionRuntime;
  return found[both ? 1 : 0];
}

const program = findProgram();
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
for (const signal of PASSED_ON) process.on(signal, () => child.kill(signal));
// npx puts a shell between itself and us. A SIGTERM for npx ends that one, where it is dash, and reaches nobody else.
if (process.env.npm_lifecycle_event === "npx") {
  const shell = process.ppid;
  const looking = setInterval(() => {
    if (process.ppid === shell) return;
    clearInterval(looking);
    child.kill("SIGTERM");
  }, 500).unref();
}
child.on("error", (error) => fail(`cannot run ${program}: ${error.message}`));
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  // By the same signal, so that whoever waits sees what became of the program.
  for (const each of PASSED_ON) process.removeAllListeners(each);
  process.kill(process.pid, signal);
  // Node outlives some.
  setTimeout(() => process.exit(128 + constants.signals[signal]), 100);
});
