// @ts-check
// Owns following and publishing with curl, a real process, as README and docs/clients.md say.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { Program } from "../support/program.js";
import { Server } from "../support/server.js";
import { beginToStop } from "../support/stopping.js";
import { temporary } from "../support/temporary.js";

const TOPIC = "numbers";
/** What curl ends with when an answer is not complete. */
const BROKE_OFF = 18;

/**
 * @param {import("node:test").TestContext} t
 * @param {string[]} args
 */
function start(t, ...args) {
  return Program.start(t, "curl", ["--silent", "--show-error", "--max-time", "60", ...args]);
}

/**
 * Runs it to its end, which must be a good one; answers what it printed.
 * @param {import("node:test").TestContext} t
 * @param {string[]} args
 */
async function run(t, ...args) {
  const curl = start(t, ...args);
  assert.equal(await curl.ended(), 0, curl.complained);
  return curl.said;
}

/** The id in an answer to a publish. @param {string} answer */
function idOf(answer) {
  return JSON.parse(answer).id;
}

/** @param {string} id */
function tick(id) {
  return `id: ${id}\nevent: eventwall:tick\ndata: \n\n`;
}

/**
 * @param {import("node:test").TestContext} t
 * @param {string[]} [settings]
 */
async function serve(t, settings) {
  const server = await Server.start(t, settings);
  return { server, url: `${server.origin}/topics/${TOPIC}` };
}

describe("curl", { concurrency: 4 }, () => {
  test("prints a stream as it is", async (t) => {
    const { server, url } = await serve(t);
    const ids = [await server.publish(TOPIC, "not asked for"), await server.publish(TOPIC, "history")];
    const curl = start(t, "-N", `${url}?last=1`);
    await curl.untilSaid("eventwall:live");
    ids.push(await server.publish(TOPIC, "two\nlines, Grüße 👋", "failed"));
    const live = `id: ${ids[1]}\nevent: eventwall:live\ndata: \n\n`;
    const failed = `id: ${ids[2]}\nevent: failed\ndata: two\ndata: lines, Grüße 👋\n\n`;
    await curl.untilSaid(failed);
    assert.equal(curl.said, `${tick(ids[0] ?? "")}id: ${ids[1]}\ndata: history\n\n${live}${failed}`);
  });

  test("goes on after an id, and is told when a server that was killed is gone", async (t) => {
    const { server, url } = await serve(t);
    const curl = start(t, "-N", url);
    await curl.untilSaid("eventwall:tick");
    const seen = await server.publish(TOPIC, "seen");
    await curl.untilSaid("data: seen");
    await server.kill("SIGKILL");
    assert.equal(await curl.ended(), BROKE_OFF);
    await server.restart();
    const missed = await server.publish(TOPIC, "missed");
    const again = start(t, "-N", "-H", `Last-Event-ID: ${seen}`, url);
    await again.untilSaid("eventwall:live");
    assert.equal(again.said, `${tick(seen)}id: ${missed}\ndata: missed\n\nid: ${missed}\nevent: eventwall:live\ndata: \n\n`);
  });

  test("ends well when a server stops, and prints when to come back", async (t) => {
    const { server, url } = await serve(t);
    const curl = start(t, "-N", url);
    await curl.untilSaid("eventwall:tick");
    await server.kill("SIGTERM");
    assert.equal(await curl.ended(), 0);
    const retry = /\n\nretry: (\d+)\n\n$/.exec(curl.said)?.[1];
    assert.ok(Number(retry) >= 500, curl.said);
  });

  test("is asked to come back by a server that is going down", async (t) => {
    const { server, url } = await serve(t);
    const finish = await beginToStop(server);
    assert.match(await run(t, "-N", "-H", "Accept: text/event-stream", url), /^retry: \d+\n\n$/);
    assert.match(await run(t, "-i", url), /^HTTP\/1.1 503 .*^retry-after: 1\r\n.*"status":503/ms);
    await finish();
  });

  test("prints a gap, and ticks as comments if they should be", async (t) => {
    const { server, url } = await serve(t);
    const first = await server.publish(TOPIC, "the first");
    const curl = start(t, "-N", "-H", "Last-Event-ID: nonsense", `${url}?tick=comment`);
    await curl.untilSaid("data: the first");
    assert.match(curl.said, /^id: \S+\nevent: eventwall:gap\ndata: {"after":"nonsense",.*"reason":"unknown"}\n\n: tick\n\n/);
    await curl.untilSaid(`id: ${first}\ndata: the first\n\n`);
  });

  test("waits for the first events only, if asked to", async (t) => {
    const { server, url } = await serve(t);
    const id = await server.publish(TOPIC, "the first");
    assert.equal(await run(t, `${url}?wait=1`), tick(id));
    assert.equal(await run(t, `${url}?last=1&wait=20`), `id: ${id}\ndata: the first\n\n`);
    const waiting = run(t, "-H", `Last-Event-ID: ${id}`, `${url}?wait=20`);
    const next = await server.publish(TOPIC, "the next");
    assert.equal(await waiting, `id: ${next}\ndata: the next\n\n`);
  });

  test("asks for the last id with HEAD", async (t) => {
    const { server, url } = await serve(t);
    assert.doesNotMatch(await run(t, "--head", url), /^etag:/m);
    const id = await server.publish(TOPIC, "an event");
    const head = await run(t, "--head", url);
    assert.match(head, /^HTTP\/1.1 200 OK\r\n.*^content-type: text\/event-stream\r\n/ms);
    assert.match(head, new RegExp(`^etag: "${id}"\r\n`, "m"));
  });

  test("publishes a body, by name too; --data joins the lines of a file, --data-binary keeps them", async (t) => {
    const { server, url } = await serve(t);
    const file = await temporary(t, "lines.txt");
    await writeFile(file, "two\nlines\n");
    const answers = [
      await run(t, "--data", "Grüße", url),
      await run(t, "--data", "main is red", `${url}?event=failed`),
      await run(t, "--data", `@${file}`, url),
      await run(t, "--data-binary", `@${file}`, url),
    ];
    assert.match(await run(t, "-T", file, url), /"status":405/, "a PUT");
    const logged = await server.logged(TOPIC);
    assert.deepEqual(answers.map(idOf), logged.map(({ id }) => id));
    const events = logged.map(({ event, data }) => [event, data]);
    assert.deepEqual(events, [["message", "Grüße"], ["failed", "main is red"], ["message", "twolines"], ["message", "two\nlines\n"]]);
  });

  test("publishes lines of JSON as one batch", async (t) => {
    const { server, url } = await serve(t);
    const publishing = ["-H", "Content-Type: application/x-ndjson", "--data-binary"];
    const batch = '{"data":"one"}\n{"data":"two","event":"failed"}\n';
    const { ids } = JSON.parse(await run(t, ...publishing, batch, url));
    const logged = await server.logged(TOPIC);
    assert.deepEqual(logged.map(({ id, event, data }) => [id, event, data]), [[ids[0], "message", "one"], [ids[1], "failed", "two"]]);
    assert.match(await run(t, ...publishing, '{"data":"three"}\nnonsense', url), /"status":400.*"detail":"line 2: /);
    assert.equal((await server.logged(TOPIC)).length, 2, "all or nothing");
  });

  test("publishes from a pipe, event by event, while the pipe is open", async (t) => {
    const { server, url } = await serve(t);
    const follower = start(t, "-N", url);
    await follower.untilSaid("eventwall:tick");
    const publisher = start(t, "-X", "POST", "-T", "-", "-H", "Content-Type: text/event-stream", url);
    publisher.write("data: one\n\n");
    await follower.untilSaid("data: one\n\n");
    publisher.write("event: failed\ndata: two\ndata: lines\n\n");
    await follower.untilSaid("event: failed\ndata: two\ndata: lines\n\n");
    assert.equal(publisher.said, "");
    publisher.end();
    assert.equal(await publisher.ended(), 0);
    const [one, two] = await server.logged(TOPIC);
    assert.deepEqual(JSON.parse(publisher.said), { count: 2, first: one?.id, last: two?.id });
  });
});
