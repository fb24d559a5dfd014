// json_to_convex.mjs NODE_MODULES EXPECTED AT FOLDER     every file of documents below FOLDER, a restore or an NDJSON export
// json_to_convex.mjs NODE_MODULES EXPECTED AT URL KEY    a snapshot of the deployment at URL, in convex_encoded_json
//
// The `jsonToConvex` of Convex's own npm package reads every document, and what it makes of them is what EXPECTED held at AT, as
// far as JavaScript can tell: it does not see the payload of a NaN. In files int64 are bare numbers, as in Convex's own exports: JSON.parse
// rounds those beyond 2^53, and 42 is 42.0 to it. In convex_encoded_json each is a BigInt, and exact.

import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, expected, at, place, key] = process.argv.slice(2);
const { jsonToConvex } = createRequire(join(modules, "any.js"))("convex/values");

function fail(message) {
  console.error(message);
  process.exit(1);
}

const lines = (text) => text.split("\n").filter((line) => line !== "");

/** The live documents at AT: `_id` to value. A `_ts` is no number of JavaScript. */
function held() {
  const live = new Map();
  for (const line of lines(readFileSync(expected, "utf8"))) {
    if (BigInt(line.match(/"ts":(\d+)\}$/)[1]) > BigInt(at)) continue;
    const { id, document } = JSON.parse(line);
    document === null ? live.delete(id) : live.set(id, document);
  }
  return live;
}

function* documentsBelow(folder) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const documents = /\.(jsonl|ndjson)$/.test(entry.name) && entry.name !== "generated_schema.jsonl";
    if (!entry.isFile() || !documents || entry.parentPath.endsWith("_tables")) continue;
    for (const line of lines(readFileSync(join(entry.parentPath, entry.name), "utf8"))) yield JSON.parse(line);
  }
}

async function* documentsServed(url) {
  const asked = new URLSearchParams({ format: "convex_encoded_json", snapshot: at });
  for (let more = true; more; ) {
    const answer = await fetch(`${url}/api/list_snapshot?${asked}`, { headers: { Authorization: `Convex ${key}` } });
    if (!answer.ok) fail(`${answer.status}: ${await answer.text()}`);
    const { values, cursor, hasMore } = await answer.json();
    for (const { _component, _table, _ts, ...document } of values) yield document;
    more = hasMore;
    asked.set("cursor", cursor);
  }
}

let rounded = 0;

function sameInteger(value, digits) {
  if (key !== undefined) return value === BigInt(digits);
  rounded += BigInt(Number(digits)) !== BigInt(digits);
  return value === Number(digits);
}

function sameFloat(value, bits) {
  const number = Buffer.from(bits, "hex").readDoubleBE();
  return typeof value === "number" && Object.is(value, number);
}

function same(value, wanted) {
  if (wanted === null || typeof wanted !== "object") return value === wanted;
  if ("int" in wanted) return sameInteger(value, wanted.int);
  if ("float" in wanted) return sameFloat(value, wanted.float);
  if ("bytes" in wanted) return value instanceof ArrayBuffer && Buffer.from(value).toString("hex") === wanted.bytes;
  if ("array" in wanted) {
    return Array.isArray(value) && value.length === wanted.array.length && wanted.array.every((item, n) => same(value[n], item));
  }
  const names = Object.keys(wanted.object);
  const simple = value !== null && Object.getPrototypeOf(value) === Object.prototype;
  return simple && Object.keys(value).length === names.length && names.every((name) => same(value[name], wanted.object[name]));
}

const live = held();
const total = live.size;
for await (const json of key === undefined ? documentsBelow(place) : documentsServed(place)) {
  const document = jsonToConvex(json);
  const wanted = live.get(document._id);
  if (wanted === undefined) fail(`${document._id} is there twice, or not to be there`);
  if (!same(document, wanted)) fail(`${document._id} differs: it is ${JSON.stringify(json)} instead of ${JSON.stringify(wanted)}`);
  live.delete(document._id);
}
if (live.size > 0) fail(`${live.size} of ${total} are missing, such as ${[...live.keys()][0]}`);
console.log(JSON.stringify({ documents: total, rounded }));
