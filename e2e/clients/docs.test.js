// @ts-check
// Owns the examples of docs/clients.md for Node and for shells: they run exactly as they stand there.

import assert from "node:assert/strict";
import { test } from "node:test";

import { examples } from "../support/docs.js";
import { Program } from "../support/program.js";
import { Server } from "../support/server.js";

const LOBBY = "walls/lobby";

test("the examples for Node follow", async (t) => {
  const server = await Server.start(t);
  const blocks = await examples("js", server.origin);
  const history = await server.publish(LOBBY, "history");
  const scripts = blocks.map(({ text }) => Program.script(t, text));
  await Promise.all(scripts.map((script) => script.untilSaid(`${history} history\n`)));
  const live = await server.publish(LOBBY, "two\nlines");
  await Promise.all(scripts.map((script) => script.untilSaid(`${live} two\nlines\n`)));
  for (const script of scripts) assert.equal(script.said, `${history} history\n${live} two\nlines\n`);
});

test("the examples for shells follow and publish", async (t) => {
  const server = await Server.start(t);
  for (const { text } of await examples("sh", server.origin)) {
    for (const line of text.trim().split("\n")) {
      const shell = Program.start(t, "sh", ["-c", line]);
      if (line.includes(" -N ")) await shell.untilSaid("data: hello from curl\n\n");
      else assert.equal(await shell.ended(), 0, line);
    }
  }
  const published = (await server.logged(LOBBY)).map(({ data }) => data);
  assert.deepEqual(published, ["hello from curl", "one", "two", "three", "four"]);
});
