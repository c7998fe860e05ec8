// @ts-check
// Owns the inspector's parts that need no browser: queries, counts, the account of a break, and
// JSON set out on lines.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Account, BY_HAND } from "../../web/inspect/js/account.js";
import { frameOf, lineFrame } from "../../web/inspect/js/frame.js";
import { Meter } from "../../web/inspect/js/meter.js";
import { pretty } from "../../web/inspect/js/pretty.js";
import { readQuery, streamUrl, topicsAsText, topicsInText, toSearch } from "../../web/inspect/js/query.js";
import { Tally, TRACKED } from "../../web/inspect/js/tally.js";
import * as words from "../../web/inspect/js/words.js";

/** @param {string} event @param {string} id @param {string} [data] @param {number} [at] */
const frame = (event, id, data = "", at = 1) => frameOf({ kind: "event", event, id, data, topic: undefined }, at);

/** @param {string} id @param {number} [at] */
const published = (id, at) => frame("message", id, JSON.stringify({ id, topic: "t", event: "message", time: "", data: "x" }), at);

test("a query is read and spelled as the hub's own", () => {
  for (const search of ["?topic=**", "?topic=a/b&topic=c+d&last=5", "?topic=100%25&since=10m", "?topic=%C3%B6&after=k3-1"]) {
    assert.equal(toSearch(readQuery(search)), search);
  }
  assert.equal(toSearch(readQuery("")), "?topic=**");
  assert.equal(toSearch(readQuery("?after=&last=3&topic=&other=x")), "?topic=**&last=3");
  assert.deepEqual(readQuery("?last=3&after=a-1&since=1m"), { topics: ["**"], start: "after", value: "a-1" }, "as the hub prefers");
  assert.equal(streamUrl(readQuery("?topic=a&last=1")), "/events?topic=a&last=1&as=json");
});

test("topics survive the form, whatever they are called", () => {
  for (const topics of [["**"], ["a b", "c"], ["100%", "%20", "%2520"], ["?&=#+", "ö/😀"]]) {
    assert.deepEqual(topicsInText(topicsAsText(topics)), topics);
  }
  assert.deepEqual(topicsInText("  a\t b/c  "), ["a", "b/c"]);
  assert.deepEqual(topicsInText("   "), ["**"]);
});

test("a meter counts whole seconds, and forgets", () => {
  const meter = new Meter(4);
  meter.add(6, 10_000);
  meter.add(3, 11_500);
  assert.deepEqual(meter.counts(11_999), [0, 0, 6, 3]);
  assert.equal(meter.perSecond(3, 11_999), 2, "the second under way does not count");
  assert.equal(meter.perSecond(3, 12_000), 3);
  meter.add(1, 11_000);
  assert.deepEqual(meter.counts(12_000), [0, 6, 3, 1], "a clock that was set back does not undo what was counted");
  assert.deepEqual(meter.counts(16_000), [0, 0, 0, 0]);
  assert.deepEqual(meter.counts(1e12), [0, 0, 0, 0]);
});

test("topics are counted each, in a bounded number", () => {
  const tally = new Tally();
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < TRACKED + 10; i += 1) tally.event({ ...published("a-1"), topic: `t${i}` }, 1000);
    tally.event({ ...published("a-9"), topic: "t0" }, 1000);
  }
  assert.equal(tally.topicCount, TRACKED);
  assert.ok(tally.forgotten >= 10);
  assert.equal(tally.events, 3 * (TRACKED + 11));
  const rows = tally.topics(5, 2000);
  assert.equal(rows.length, 5);
  const last = rows.find(({ topic }) => topic === "t0");
  assert.ok(last && last.id === "a-9" && last.perSecond > 0, "the one that spoke last is there");
  assert.deepEqual(rows.map(({ topic }) => topic), rows.map(({ topic }) => topic).sort());
});

test("the account of a break ends with live, and notices what came twice", () => {
  const account = new Account("the line broke", "a-5", 1000);
  account.failed("refused");
  account.take(lineFrame("open", 1100));
  assert.ok(account.waiting, "the page's own words are no sign of life");
  account.take(frame("eventwall:tick", "a-5", "", 1200));
  for (const id of ["a-6", "a-9"]) account.take(published(id));
  assert.ok(!account.waiting && !account.over);
  account.take(frame("eventwall:live", "a-9", "", 1500));
  account.take(published("a-10"));
  const { backAt, liveAt, replayed, first, last, again, gap, failures } = account;
  assert.deepEqual({ backAt, liveAt, replayed, first, last, again, gap, failures },
    { backAt: 1200, liveAt: 1500, replayed: 2, first: "a-6", last: "a-9", again: 0, gap: undefined, failures: 1 });

  const twice = new Account(BY_HAND, "a-5", 1);
  for (const id of ["a-5", "a-6", "a-6"]) twice.take(published(id));
  assert.equal(twice.again, 2);
});

test("after a gap another log may count from the beginning", () => {
  const account = new Account("the line broke", "a-500", 1);
  const gap = { after: "a-500", resumed: "b-0", reason: "replaced" };
  account.take(frame("eventwall:gap", "b-0", JSON.stringify(gap)));
  account.take(published("b-1"));
  assert.deepEqual([account.gap, account.again], [gap, 0]);
  account.brokeAgain();
  assert.ok(account.over && account.broken);
});

test("a frame keeps the beginning of large data, and knows what has no id", () => {
  const large = frame("x", "a-1", JSON.stringify({ id: "a-1", topic: "t", data: "😀".repeat(50_000) }));
  assert.deepEqual([large.data.length, large.length], [16_384, 100_000]);
  assert.equal(frame("x", "a-1", JSON.stringify({ topic: "t", event: "x", data: "d" })).kind, "ephemeral");
  assert.equal(frame("x", "a-1", "no json").data, "no json");
  assert.equal(frame("eventwall:new", "a-1", "?").kind, "hub");
});

test("JSON is set out without a change to what it says", () => {
  const set = '{\n  "a": [\n    1,\n    2,\n    {}\n  ],\n  "b": "x,{}:[]",\n  "c": []\n}';
  assert.equal(pretty('{"a":[1,2,{}],"b":"x,{}:[]","c":[]}'), set);
  assert.equal(pretty('{"n":1.0,"n":1}'), '{\n  "n": 1.0,\n  "n": 1\n}');
  for (const scalar of ["12345678901234567890", '"\\u0041\\""', "null"]) assert.equal(pretty(scalar), scalar);
  for (const text of ["no json {", "", "{]", "[1,]"]) assert.equal(pretty(text), text);
  const deep = "[".repeat(8000) + "]".repeat(8000);
  assert.ok(pretty(deep).length < 2_000_000 && pretty(deep).replace(/\s/g, "") === deep);
});

test("numbers and times read well", () => {
  assert.deepEqual([0, 0.25, 9.96, 10.4, 1234.5].map(words.rate), ["0", "0.3", "10", "10", "1,235"]);
  const sizes = ["0 B", "1,023 B", "1 KiB", "293 KiB", "1 GiB", "1,048,576 TiB"];
  assert.deepEqual([0, 1023, 1024, 300_000, 2 ** 30, 2 ** 60].map(words.size), sizes);
  const spans = ["0 ms", "999 ms", "1.5 s", "99 s", "2 min", "2 h"];
  assert.deepEqual([0, 999, 1500, 99_000, 120_000, 7_200_000].map(words.span), spans);
  assert.deepEqual([-5, 999, 15_900].map(words.age), ["0 s", "0 s", "15 s"]);
  assert.equal(words.exactTime("no time"), "");
});
