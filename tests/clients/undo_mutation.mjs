// undo_mutation.mjs NODE_MODULES FOLDER    the mutation that `restore --undo --as mutation` wrote into FOLDER, called with each batch
//
// Convex's own npm package makes it a function and reads the arguments; the database is a fake of a few lines. What was there
// becomes what is wanted, and a document that is not as expected stays.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";

const [modules, folder] = process.argv.slice(2);
const require = createRequire(join(modules, "any.js"));
const { jsonToConvex } = require("convex/values");

async function theMutation() {
  const place = mkdtempSync(join(tmpdir(), "undo-"));
  const server = pathToFileURL(join(modules, "convex/dist/esm/server/index.js"));
  writeFileSync(join(place, "server.mjs"), `export { internalMutationGeneric as internalMutation } from ${JSON.stringify(server)};`);
  const source = readFileSync(join(folder, "undo.ts"), "utf8");
  const { code } = require("esbuild").transformSync(source, { loader: "ts" });
  const values = JSON.stringify(pathToFileURL(join(modules, "convex/dist/esm/values/index.js")));
  const linked = code.replace('"./_generated/server"', '"./server.mjs"').replace('"convex/values"', values);
  writeFileSync(join(place, "undo.mjs"), linked);
  return (await import(pathToFileURL(join(place, "undo.mjs")))).apply;
}

/** As much of a database as the mutation needs. It takes what Convex takes. */
class Database {
  constructor(documents) {
    this.documents = new Map(documents.map((document) => [document._id, document]));
  }
  normalizeId(_table, id) {
    return typeof id === "string" ? id : null;
  }
  async get(id) {
    return this.documents.get(id) ?? null;
  }
  async replace(id, fields) {
    const { _id, _creationTime } = this.documents.get(id);
    assert(!Object.keys(fields).some((name) => name.startsWith("_")));
    this.documents.set(id, { ...fields, _id, _creationTime });
  }
  async delete(id) {
    assert(this.documents.delete(id));
  }
}

const apply = await theMutation();
assert(apply.isMutation && apply.isInternal);
const files = readdirSync(folder, { recursive: true }).filter((name) => /batches.\d+\.json$/.test(name));
let [replaced, deleted] = [0, 0];
for (const file of files) {
  const text = readFileSync(join(folder, file), "utf8");
  const args = jsonToConvex(JSON.parse(text));
  assert(args.replace.length + args.delete.length <= 500 && args.replace.length + args.delete.length > 0);
  const before = [...args.replace.map(({ expected }) => expected), ...args.delete];
  const db = new Database(before);
  const answer = await apply._handler({ db }, args);
  assert.deepStrictEqual(answer, { replaced: args.replace.length, deleted: args.delete.length, notAsExpected: [] });
  const after = new Map(args.replace.map(({ document }) => [document._id, document]));
  assert.deepStrictEqual(db.documents, after);
  // A second call, and documents that have changed, or have gone.
  const ids = before.map(({ _id }) => _id);
  const again = await apply._handler({ db }, args);
  // JavaScript does not see the payload of a NaN, and a document may have been written as it was.
  const alike = args.replace.filter(({ expected, document }) => isDeepStrictEqual(expected, document));
  const alikeIds = new Set(alike.map(({ document }) => document._id));
  const others = ids.filter((id) => !alikeIds.has(id));
  assert.deepStrictEqual(again, { replaced: alike.length, deleted: 0, notAsExpected: others });
  assert.deepStrictEqual(db.documents, after);
  for (const changed of [{ more: 1 }, { more: undefined }, { _creationTime: -0 }]) {
    const changedSince = before.map((document) => ({ ...document, ...changed }));
    const left = await apply._handler({ db: new Database(changedSince) }, args);
    assert.deepStrictEqual(left.notAsExpected, ids);
  }
  assert.deepStrictEqual((await apply._handler({ db: new Database([]) }, args)).notAsExpected, ids);
  replaced += args.replace.length;
  deleted += args.delete.length;
}
// The script for batches that are too large for a command line calls it with the same arguments.
const calls = [];
const server = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  const { path, args, format } = JSON.parse(body);
  assert.deepStrictEqual([path, format, request.url], ["undo:apply", "convex_encoded_json", "/api/function"]);
  assert.equal(request.headers.authorization, "Convex otter-1|key");
  calls.push(args);
  const left = calls.length === files.length ? [args.replace[0]?.expected._id ?? args.delete[0]._id] : [];
  const answer = { status: "success", value: { replaced: 1, deleted: 0, notAsExpected: left } };
  response.end(JSON.stringify(answer));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const paths = files.map((file) => join(folder, file));
const environment = { ...process.env, CONVEX_URL: `http://127.0.0.1:${server.address().port}`, CONVEX_DEPLOY_KEY: "otter-1|key" };
const child = spawn(process.execPath, [join(folder, "apply.mjs"), ...paths], { env: environment });
const code = await new Promise((ended) => child.on("exit", ended));
server.close();
assert.equal(code, 3, "documents are left");
assert.deepStrictEqual(calls, paths.map((path) => JSON.parse(readFileSync(path, "utf8"))));
console.log(JSON.stringify({ batches: files.length, replaced, deleted }));
