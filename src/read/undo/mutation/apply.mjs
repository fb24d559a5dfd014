// node apply.mjs FILE…: calls undo:apply with each of these batches, whatever their size. It needs Node.js 18 and nothing else.
// CONVEX_URL and CONVEX_DEPLOY_KEY name the deployment; COMPONENT, if it is set, names a component of it.
// Exit codes: 1 if a batch failed, 3 if documents were left alone because they are no longer as expected.
import { readFileSync } from "node:fs";

const { CONVEX_URL, CONVEX_DEPLOY_KEY, COMPONENT } = process.env;
if (!CONVEX_URL || !CONVEX_DEPLOY_KEY || process.argv.length < 3) {
  console.error("usage: CONVEX_URL=https://… CONVEX_DEPLOY_KEY=… node apply.mjs batches/*.json");
  process.exit(2);
}
let notAsExpected = 0;
for (const file of process.argv.slice(2)) {
  const args = JSON.parse(readFileSync(file, "utf8"));
  const response = await fetch(`${CONVEX_URL}/api/function`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Convex ${CONVEX_DEPLOY_KEY}` },
    body: JSON.stringify({ path: "undo:apply", args, format: "convex_encoded_json", componentPath: COMPONENT }),
  });
  const text = await response.text();
  const answer = text.startsWith("{") ? JSON.parse(text) : {};
  if (answer.status !== "success") {
    console.error(`${file}: ${answer.errorMessage ?? answer.message ?? `HTTP ${response.status}`}`);
    process.exit(1);
  }
  console.log(`${file}: ${JSON.stringify(answer.value)}`);
  notAsExpected += answer.value.notAsExpected.length;
}
process.exit(notAsExpected > 0 ? 3 : 0);
