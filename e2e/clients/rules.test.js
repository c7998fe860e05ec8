// @ts-check
// Owns that the browser client's module keeps every rule in Node, too.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { EventSource } from "../../web/client/eventsource.js";
import { judge } from "../support/ruled.js";
import { RULES } from "../support/rules.js";
import { telling } from "../support/telling.js";

describe("the rules of event streams, in Node", { concurrency: 8 }, () => {
  for (const rule of RULES) {
    test(`${rule.rule}: ${rule.title}`, (t) =>
      judge(t, rule, async (server) => telling(EventSource, `${server.origin}/stream`, rule.options)));
  }

  test("S5: what is no URL is refused, and its numbers have names", () => {
    assert.throws(() => new EventSource("http://["), { name: "SyntaxError" });
    assert.deepEqual([EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED], [0, 1, 2]);
  });
});
