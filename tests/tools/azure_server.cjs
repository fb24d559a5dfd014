// Azure Blob Storage as a server (Azurite) on a free port of 127.0.0.1. It lives as long as its standard input is open, so
// it ends with whoever started it, however that ends.
//
//   azure_server.cjs MODULES CERTIFICATES PERMISSIONS...
//
// prints a line of account, key and, for each of the permissions (`rwl`: read, write, list), an account signature with
// exactly those; then Azurite's own lines, one of which tells the address. CERTIFICATES is empty, or a folder with
// server.pem and key.pem: then it speaks HTTPS, and takes tokens as well. Of a token it looks at issuer, audience and
// time, not at the signature.
"use strict";

const { createHmac } = require("node:crypto");
const path = require("node:path");

// The account that Azurite makes, published in its documentation.
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

function signature(permissions) {
  const [services, resources, expiry, protocols, version] = ["b", "sco", "2099-01-01T00:00:00Z", "https,http", "2018-11-09"];
  const text = [ACCOUNT, permissions, services, resources, "", expiry, "", protocols, version, ""].join("\n");
  const signed = createHmac("sha256", Buffer.from(KEY, "base64")).update(text, "utf8").digest("base64");
  return new URLSearchParams({
    sv: version, ss: services, srt: resources, sp: permissions, se: expiry, spr: protocols, sig: signed,
  }).toString();
}

const [modules, certificates, ...permissions] = process.argv.slice(2);
console.log([ACCOUNT, KEY, ...permissions.map(signature)].join(" "));

process.stdin.resume();
process.stdin.on("end", () => process.exit());
process.argv.splice(2, Infinity,
  "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent",
  ...(certificates ? ["--oauth", "basic", "--cert", path.join(certificates, "server.pem"), "--key", path.join(certificates, "key.pem")] : []));
require(path.join(modules, "azurite/dist/src/blob/main.js"));
