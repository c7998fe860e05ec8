// @ts-check
// Owns what a client of event streams has to do beyond reading bytes, rule by rule: what it is answered, when
// that story is over, and what must have happened by then. docs/clients.md has the same rules as a table.

import assert from "node:assert/strict";

/**
 * @typedef {import("./misbehaving.js").Answer} Answer
 * @typedef {import("./misbehaving.js").Misbehaving} Misbehaving
 * @typedef {{ log: string[], state: number, url: string }} Told what the client said: `open`, `error 0`,
 *   `message DATA ID ORIGIN`
 * @typedef {object} Rule
 * @property {string} rule
 * @property {string} title
 * @property {Answer[]} answers one a request, the last one again and again
 * @property {(told: Told, server: Misbehaving) => boolean} until
 * @property {(told: Told, server: Misbehaving) => void} check
 * @property {object} [options] of the client, which only ours has
 * @property {string[]} [differs] browsers whose own EventSource does otherwise
 */

const QUICK = "retry: 200\n\n";
/** @type {Answer} */
const HOLD = { body: `${QUICK}data: last\n\n`, then: "hold" };

/** @param {Misbehaving} server @param {number} number */
const cursor = (server, number) => server.asked[number]?.headers["last-event-id"];

/** @param {number} count @returns {Rule["until"]} */
const asked = (count) => (_, server) => server.asked.length >= count;

/** @type {Rule["until"]} */
const closed = ({ state }) => state === 2;

/** @type {Rule["until"]} */
const heardLast = ({ log }) => log.some((line) => line.startsWith("message last"));

/**
 * Gives up, with one error, and without another request.
 * @param {string} rule @param {string} title @param {Answer} answer @param {object} [options]
 * @returns {Rule}
 */
function fails(rule, title, answer, options) {
  return {
    rule,
    title: `${title} ends it`,
    answers: [answer],
    options,
    until: closed,
    check({ log }, server) {
      assert.deepEqual(log, ["error 2"]);
      assert.equal(server.asked.length, 1);
    },
  };
}

/** @param {number} status @returns {Rule} */
function redirects(status) {
  return {
    rule: "H4, H6",
    differs: status === 301 || status === 308 ? [] : ["firefox"],
    title: `a ${status} is followed, and remembered`,
    answers: [{ status, redirect: "/stream/there" }, { body: `${QUICK}data: x\n\n` }, HOLD],
    until: heardLast,
    check(_, { asked }) {
      assert.deepEqual(asked.map(({ path }) => path), ["/stream", "/stream/there", "/stream/there"]);
    },
  };
}

/** @type {Rule[]} */
export const RULES = [
  {
    rule: "H1",
    title: "asks for a stream, past every cache, and names no id",
    answers: [HOLD],
    until: heardLast,
    check(_, { asked: [first] }) {
      assert.equal(first?.method, "GET");
      assert.equal(first?.headers.accept, "text/event-stream");
      assert.equal(first?.headers["cache-control"], "no-cache");
      assert.equal(first?.headers["last-event-id"], undefined);
    },
  },
  {
    rule: "I1",
    title: "each event carries the id in force",
    answers: [{ body: `${QUICK}id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: last\n\n`, then: "hold" }],
    until: heardLast,
    check({ log }, { origin }) {
      assert.deepEqual(log, ["open", `message a 1 ${origin}`, `message b 1 ${origin}`, `message last 2 ${origin}`]);
    },
  },
  {
    rule: "I2",
    title: "an empty id is not sent",
    answers: [{ body: `${QUICK}id: 1\ndata: a\n\nid\ndata: b\n\n` }, HOLD],
    until: heardLast,
    check: (_, server) => assert.equal(cursor(server, 1), undefined),
  },
  {
    rule: "I4",
    title: "an id counts at the blank line, even without data",
    answers: [{ body: `${QUICK}id: 1\ndata: a\n\nid: 9\n\n` }, HOLD],
    until: heardLast,
    check: (_, server) => assert.equal(cursor(server, 1), "9"),
    differs: ["firefox"],
  },
  {
    rule: "I5, F11",
    title: "an event that the end cut off never was, nor its id",
    answers: [{ body: `${QUICK}id: 1\ndata: a\n\nid: 2\ndata: lost\n` }, HOLD],
    until: heardLast,
    check({ log }, server) {
      assert.equal(cursor(server, 1), "1");
      assert.ok(!log.some((line) => line.includes("lost")));
    },
  },
  {
    rule: "I6",
    title: "the id outlives connections without any",
    answers: [{ body: `${QUICK}id: 1\ndata: a\n\n` }, { body: "data: b\n\n" }, HOLD],
    until: heardLast,
    check({ log }, server) {
      assert.deepEqual([cursor(server, 1), cursor(server, 2)], ["1", "1"]);
      assert.ok(log.includes(`message b 1 ${server.origin}`));
    },
  },
  {
    rule: "I7",
    title: "an id is sent as UTF-8",
    answers: [{ body: `${QUICK}id: …é\ndata: a\n\n` }, HOLD],
    until: heardLast,
    check: (_, server) => assert.equal(Buffer.from(cursor(server, 1)?.toString() ?? "", "latin1").toString(), "…é"),
  },
  {
    rule: "I8",
    title: "a preset id is sent, and again if there was none",
    answers: [{ body: `${QUICK}data: a\n\n` }, HOLD],
    options: { lastEventId: "p" },
    until: heardLast,
    check: (_, server) => assert.deepEqual([cursor(server, 0), cursor(server, 1)], ["p", "p"]),
  },
  {
    rule: "T2, T3",
    title: "a retry counts once its line is there, and for ever",
    answers: [{ body: "retry: 200\n" }, { body: "data: b\n\n" }, HOLD],
    until: heardLast,
    check(_, { asked }) {
      const [one, two, three] = asked.map(({ at }) => at);
      assert.ok(Number(three) - Number(two) < 2_900 && Number(two) - Number(one) < 2_900);
    },
  },
  {
    rule: "T5",
    title: "after a clean end it comes back near the server's time",
    answers: [{ body: "retry: 1000\n\ndata: a\n\n" }, HOLD],
    until: heardLast,
    check(_, { asked: [one, two] }) {
      const waited = Number(two?.at) - Number(one?.at);
      // How late a busy machine is, nobody knows.
      assert.ok(waited >= 745 && waited < 2_500, `${waited} ms`);
    },
  },
  {
    rule: "T4",
    title: "a retry of 0 makes no loop",
    answers: [{ body: "retry: 0\n\ndata: a\n\n" }],
    until: asked(4),
    check: (_, { asked }) => assert.ok(Number(asked[3]?.at) - Number(asked[0]?.at) >= 500),
    differs: ["chromium"],
  },
  {
    rule: "P1",
    title: "a stream is UTF-8, whatever its type says",
    answers: [{ ...HOLD, body: "data: last ö\n\n", headers: { "Content-Type": "text/event-stream;charset=windows-1252" } }],
    until: heardLast,
    check: ({ log }) => assert.ok(log.some((line) => line.startsWith("message last ö"))),
    differs: ["chromium"],
  },
  ...[204, 205, 210, 404, 410].map((status) => fails("H2", `a ${status}`, { status })),
  fails("H2", "a 503, if told to be strict", { status: 503 }, { strict: true }),
  {
    rule: "H2, B3",
    title: "a 503 is tried again, not before the server likes",
    answers: [{ status: 503, headers: { "Retry-After": "1" } }, HOLD],
    options: {},
    until: heardLast,
    check(_, { asked: [one, two] }) {
      assert.ok(Number(two?.at) - Number(one?.at) >= 990);
    },
  },
  ...["text/plain", "text/event-streaming", "x bogus"].map((type) =>
    fails("H3", `the type ${type}`, { headers: { "Content-Type": type }, body: "data: no\n\n" }),
  ),
  fails("H3", "no type", { headers: {}, body: "data: no\n\n" }),
  ...["text/event-stream;charset=utf-8", "Text/Event-Stream;"].map((type) => ({
    rule: "H3",
    title: `the type ${type} is one of a stream`,
    answers: [{ ...HOLD, headers: { "Content-Type": type } }],
    until: heardLast,
    check() {},
  })),
  ...[301, 302, 303, 307, 308].map(redirects),
  {
    rule: "H5",
    title: "an event's origin is where it came from, and the URL stays",
    answers: [{ status: 307, redirect: "ELSEWHERE/stream/there" }, HOLD],
    until: heardLast,
    check({ log, url }, { origin, elsewhere }) {
      assert.deepEqual(log, ["open", `message last  ${elsewhere}`]);
      assert.equal(url, `${origin}/stream`);
    },
  },
  {
    rule: "I9",
    title: "an id of any length and kind goes to another origin, too",
    answers: [{ status: 307, redirect: "ELSEWHERE/stream/there" }, { body: `${QUICK}id: {${"x".repeat(200)}}\ndata: a\n\n` }, HOLD],
    until: heardLast,
    check: (_, server) => assert.equal(cursor(server, 2), `{${"x".repeat(200)}}`),
  },
  {
    rule: "H7",
    title: "a line that breaks is taken up again",
    answers: [{ body: `${QUICK}id: 1\ndata: a\n\ndata: cut`, then: "break" }, HOLD],
    until: heardLast,
    check({ log }, server) {
      const { origin } = server;
      assert.deepEqual(log, ["open", `message a 1 ${origin}`, "error 0", "open", `message last 1 ${origin}`]);
      assert.equal(cursor(server, 1), "1");
    },
  },
  {
    rule: "H8",
    title: "method, body and headers go with every request",
    answers: [{ body: `${QUICK}data: a\n\n` }, HOLD],
    options: { method: "POST", body: "what I want", headers: { "X-Mine": "yes" } },
    until: heardLast,
    check(_, { asked }) {
      const seen = asked.map(({ method, body, headers }) => [method, body, headers["x-mine"]]);
      assert.deepEqual(seen, [["POST", "what I want", "yes"], ["POST", "what I want", "yes"]]);
    },
  },
  {
    rule: "H8",
    title: "a token is not taken to another origin, neither at once nor later",
    answers: [{ status: 307, redirect: "ELSEWHERE/stream/there" }, { body: `${QUICK}data: a\n\n` }, HOLD],
    options: { headers: { Authorization: "Bearer secret" } },
    until: heardLast,
    check(_, { asked }) {
      const seen = asked.map(({ path, headers }) => [path, headers.authorization]);
      assert.deepEqual(seen, [["/stream", "Bearer secret"], ["/stream/there", undefined], ["/stream", "Bearer secret"]]);
    },
  },
  {
    rule: "S1, S2",
    title: "what happens, happens in order",
    answers: [{ body: `${QUICK}data: a\n\n` }, { body: "data: b\n\n" }, { status: 204 }],
    until: closed,
    check({ log }, { origin, asked }) {
      const lines = ["open", `message a  ${origin}`, "error 0", "open", `message b  ${origin}`, "error 0", "error 2"];
      assert.deepEqual(log, lines);
      assert.equal(asked.length, 3);
    },
  },
  {
    rule: "F8, S4",
    title: "events that a server calls open and error are told from what happens to the line",
    answers: [{ body: `${QUICK}event: open\ndata: a\n\nevent: error\ndata: b\n\n` }, { status: 204 }],
    until: closed,
    check: ({ log }) => assert.deepEqual(log, ["open", "open, an event with a", "error 1, an event with b", "error 0", "error 2"]),
  },
  {
    rule: "S3",
    title: "nothing comes once it is closed, though it was there",
    answers: [{ body: `${QUICK}data: a\n\ndata: close\n\ndata: never\n\n`, then: "hold" }],
    until: closed,
    check({ log }, { origin, asked }) {
      assert.deepEqual(log, ["open", `message a  ${origin}`, `message close  ${origin}`]);
      assert.equal(asked.length, 1);
    },
  },
  {
    rule: "S3",
    title: "who closes it as it becomes live is told of no opening",
    answers: [HOLD],
    options: { closeWhenLive: true },
    until: closed,
    check: ({ log }) => assert.deepEqual(log, []),
  },
  {
    rule: "S9, B1",
    title: "a silent line is dropped, after twice the server's heartbeat",
    answers: [{ headers: { "Content-Type": "text/event-stream", "Eventwall-Heartbeat": "1" }, body: QUICK, then: "hold" }, HOLD],
    options: {},
    until: heardLast,
    check: ({ log }, { asked }) => {
      assert.deepEqual(log.slice(0, 3), ["open", "error 0", "open"]);
      assert.ok(Number(asked[1]?.at) - Number(asked[0]?.at) >= 1_900);
    },
  },
];
