// @ts-check
// Owns what one kind of client for pages does and the others don't: what the stories have no place for.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { Reader } from "../support/reader.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { Wire } from "../support/wire.js";
import { BROWSERS, Browsers } from "./support/browser.js";
import { eventsourcePolyfill, fetchEventSource, htmx, native, xhr } from "./support/kinds.js";
import { begin, pageClient, Pages } from "./support/page-client.js";

const browsers = new Browsers(after);
const TOPIC = "numbers";
const TARGET = `/topics/${TOPIC}?last=1`;

describe("quirks", { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) describe(`in ${name}`, { concurrency: 3 }, () => quirks(name));
});

/** @param {import("./support/browser.js").Name} name */
function quirks(name) {
  const pages = new Pages(browsers, name);

  test("an XHR poller loses and doubles nothing when it aborts", async (t) => {
    const server = await Server.start(t);
    await server.publish(TOPIC, "the first event");
    const page = await browsers.page(t, name, "light", "window");
    await begin(page, xhr(150), server.origin, server.origin + TARGET);
    await until("the first event to arrive", () => page.evaluate("record.arrivals.some(({ event }) => event === 'message')"));
    await until("15 aborts", async () => {
      for (let i = 0; i < 10; i += 1) await server.publish(TOPIC, `event ${i}`);
      return Number(await page.evaluate("record.aborts")) >= 15;
    });
    const logged = (await server.logged(TOPIC)).map(({ id, event, data }) => ({ id, event, data }));
    await untilEqual(() => page.evaluate("record.arrivals.filter(({ event }) => event === 'message')"), logged);
  });

  test("eventsource-polyfill asks again for what is larger than it takes", async (t) => {
    const server = await Server.start(t);
    await server.publish(TOPIC, "the first event");
    const wire = await Wire.start(t, server);
    const reader = await Reader.open(t, pageClient(pages, eventsourcePolyfill), wire.origin + TARGET);
    await reader.untilHeard("the first event");
    // What comes at once it takes, whatever its size; so the line has to be slow.
    wire.stopAfter("half");
    const large = `${"x".repeat(eventsourcePolyfill.client.largest ?? 0)}half and half`;
    await server.publish(TOPIC, large);
    await reader.untilHeard(large);
    const cursors = wire.asked.map(({ headers }) => headers["last-event-id"]);
    assert.ok(cursors.some((id, i) => id !== undefined && id === cursors[i + 1]), "asked twice from the same id");
  });

  test("fetch-event-source takes the end of a server that stops for its own", async (t) => {
    const server = await Server.start(t);
    await server.publish(TOPIC, "history");
    const reader = await Reader.open(t, pageClient(pages, fetchEventSource(false)), server.origin + TARGET);
    await reader.untilHeard("history");
    await server.kill("SIGTERM");
    await until("it to be over", async () => (await reader.look()).over);
  });

  test("htmx takes what is published for HTML, and runs its scripts", async (t) => {
    const server = await Server.start(t);
    await server.publish(TOPIC, "<b>bold</b><script>window.pwned = true</script>");
    const page = await browsers.page(t, name, "light", "window");
    await begin(page, htmx, server.origin, server.origin + TARGET);
    await untilEqual(() => page.evaluate("document.querySelector('#wall b')?.textContent"), "bold");
    await until("the script to run", () => page.evaluate("window.pwned"));
  });

  test("htmx begins again from its URL after a 503", async (t) => {
    const server = await Server.start(t);
    await server.publish(TOPIC, "history");
    const wire = await Wire.start(t, server);
    const reader = await Reader.open(t, pageClient(pages, htmx), wire.origin + TARGET);
    await reader.untilHeard("history");
    wire.stopAfter("data: cut");
    await server.publish(TOPIC, "cut short");
    await wire.untilStopped();
    await server.publish(TOPIC, "the last event");
    wire.refuseNext();
    wire.break();
    await reader.untilHeard("the last event");
    // `?last=1` again: what lay between is lost.
    assert.deepEqual((await reader.events()).map(({ data }) => data), ["history", "the last event"]);
  });

  test("htmx needs an origin that is named, not any", async (t) => {
    const elsewhere = await Server.start(t);
    const server = await Server.start(t, ["--cors-origin", "*"]);
    await server.publish(TOPIC, "history");
    const open = (/** @type {import("./support/kinds.js").Kind} */ kind) =>
      Reader.open(t, pageClient(pages, kind, () => elsewhere.origin), server.origin + TARGET);
    await (await open(native)).untilHeard("history");
    const reader = await open(htmx);
    await reader.untilFailed(0);
    assert.deepEqual(await reader.events(), []);
  });
}
