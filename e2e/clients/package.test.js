// @ts-check
// Owns that the client's package has what it names and works from there, that what the hub serves was made of
// its modules as they are now, and that it is small.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { bundle, NAMES, served } from "../../web/client/bundle.js";
import { Misbehaving } from "../support/misbehaving.js";
import { Program } from "../support/program.js";
import { temporary } from "../support/temporary.js";

const run = promisify(execFile);
const CLIENT = fileURLToPath(new URL("../../web/client/", import.meta.url));
/** What a page loads, in bytes that are compressed: EventSource alone, and everything. */
const LARGEST = { "eventsource.js": 3 * 1024, "eventwall.js": 6 * 1024 };

test("what the hub serves is made of the modules as they are, and small", async (t) => {
  for (const name of NAMES) {
    const text = await readFile(served(name), "utf8");
    assert.equal(text, await bundle(name), `web/${name} is old: npm run client`);
    const size = gzipSync(text, { level: 9 }).length;
    t.diagnostic(`${name}: ${size} bytes with gzip`);
    assert.ok(size <= LARGEST[/** @type {keyof typeof LARGEST} */ (name)], `${name} has ${size} bytes`);
  }
});

test("the package has its modules and their types, and follows from where it is installed", async (t) => {
  const folder = path.dirname(await temporary(t, "package"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: CLIENT });
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  const names = files.map((/** @type {{ path: string }} */ file) => file.path).sort();
  const modules = ["decoder", "eventsource", "eventwall", "ladder", "line", "messages", "relay", "sharing"];
  const expected = [...modules.map((name) => `${name}.js`), ...modules.map((name) => `types/${name}.d.ts`), "README.md", "package.json"];
  assert.deepEqual(names, expected.sort());

  const home = path.join(folder, "node_modules", "eventwall");
  await mkdir(home, { recursive: true });
  await run("tar", ["-xzf", path.join(folder, filename), "--strip-components=1", "-C", home]);
  const use = 'import { Eventwall, EventSource, type Gap } from "eventwall";\n' +
    'const source: EventSource = new Eventwall("http://x/", { token: async () => "t", poll: 3, share: "us", hidden: 60_000 });\n' +
    'source.onmessage = ({ data }) => data.trim();\nexport const gap: Gap["reason"] = "expired";\nexport { source };\n';
  await writeFile(path.join(folder, "use.ts"), use);
  const tsc = fileURLToPath(new URL("../../node_modules/.bin/tsc", import.meta.url));
  const flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2023,dom", "--types", ""];
  await run(tsc, [...flags, "use.ts"], { cwd: folder });

  const server = await Misbehaving.start(t, [{ body: "retry: 200\n\nid: 7\ndata: packed\n\n", then: "hold" }]);
  const script = path.join(folder, "use.mjs");
  await writeFile(script, `import { EventSource } from "eventwall/eventsource";
const source = new EventSource("${server.origin}/stream");
source.onmessage = ({ data, lastEventId }) => { console.log(data, lastEventId); source.close(); };`);
  const program = Program.start(t, process.execPath, [script]);
  assert.equal(await program.ended(), 0, program.complained);
  assert.equal(program.said, "packed 7\n");
});
