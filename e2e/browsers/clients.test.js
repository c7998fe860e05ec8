// @ts-check
// Owns the stories as told of clients for pages, in both browsers at once, and following from a page of
// another origin.

import { after, describe, test } from "node:test";

import { Reader } from "../support/reader.js";
import { Server } from "../support/server.js";
import { allHear, assertSame, judgeEach, TOPIC } from "../support/stories/common.js";
import { STORIES } from "../support/stories/index.js";
import { BROWSERS, Browsers } from "./support/browser.js";
import { KINDS } from "./support/kinds.js";
import { pageClient, Pages } from "./support/page-client.js";

const browsers = new Browsers(after);
const PAGES = BROWSERS.map((name) => new Pages(browsers, name));

/** @param {(url: string) => string} [originOf] */
function clients(originOf) {
  return PAGES.flatMap((pages) => KINDS.map((kind) => pageClient(pages, kind, originOf)));
}

// They wait most of the time, each for a server of its own; the pages are what costs.
describe("clients for pages", { concurrency: 2 }, () => {
  for (const { title, tell } of STORIES) test(title, (t) => tell(t, clients()));

  test("pages of an origin that is named follow and come back", async (t) => {
    const elsewhere = await Server.start(t);
    const server = await Server.start(t, ["--cors-origin", elsewhere.origin]);
    await server.publish(TOPIC, "history");
    // Across origins jQuery does not say by a header that it polls.
    const target = (/** @type {boolean} */ polls) => `${server.origin}/topics/${TOPIC}?last=1${polls ? "&wait=20" : ""}`;
    const open = clients(() => elsewhere.origin).map((client) => Reader.open(t, client, target(client.polls ?? false)));
    const readers = await Promise.all(open);
    await allHear(readers, "history");
    await server.kill("SIGKILL");
    await server.restart();
    await server.publish(TOPIC, "afterwards", "failed");
    await allHear(readers, "afterwards");
    const logged = await server.logged(TOPIC);
    await judgeEach(t, readers, (reader) => assertSame(reader, logged));
  });
});
