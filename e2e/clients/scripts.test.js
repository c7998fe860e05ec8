// @ts-check
// Owns what only a whole process shows of a client for Node.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Program } from "../support/program.js";
import { Server } from "../support/server.js";

const STAND_INS = `
  const document = { hidden: false, addEventListener() {}, removeEventListener() {} };
  Object.assign(globalThis, { window: globalThis, document });`;

/** @param {string} url */
function withFetchEventSource(url) {
  return `
    import { fetchEventSource } from "@microsoft/fetch-event-source";
    await fetchEventSource("${url}", { onmessage: ({ event, data }) => console.log(event, data) });`;
}

describe("scripts", { concurrency: 4 }, () => {
  for (const version of ["undici", "undici-6"]) {
    test(`${version} lets a process end while it waits to come back`, async (t) => {
      const server = await Server.start(t);
      const script = Program.script(
        t,
        `import { EventSource } from "${version}";
         new EventSource("${server.origin}/topics/numbers").onopen = () => console.log("open");`,
      );
      await script.untilSaid("open");
      await server.kill();
      assert.equal(await script.ended(), 0);
    });
  }

  test("fetch-event-source needs stand-ins for a page", async (t) => {
    const server = await Server.start(t);
    const url = `${server.origin}/topics/numbers`;
    const without = Program.script(t, withFetchEventSource(url));
    assert.equal(await without.ended(), 1);
    assert.match(without.complained, /ReferenceError: document is not defined/);

    const script = Program.script(t, STAND_INS + withFetchEventSource(url));
    await script.untilSaid("eventwall:tick");
    await server.publish("numbers", "one", "failed");
    await script.untilSaid("failed one");
    await server.kill("SIGKILL");
    await server.restart();
    await server.publish("numbers", "two", "failed");
    await script.untilSaid("failed two");
  });
});
