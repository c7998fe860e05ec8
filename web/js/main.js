// @ts-check
// Owns how the parts are joined; must never grow logic of its own.

import { Backoff } from "./backoff.js";
import { keepTrue } from "./clock.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { byId } from "./dom.js";
import { Empty } from "./empty.js";
import * as history from "./history.js";
import { nap } from "./nap.js";
import { Older } from "./older.js";
import { may, streamUrl } from "./page.js";
import { KINDS } from "./post.js";
import { Status } from "./status.js";
import { Wall } from "./wall.js";
import { isRecord, isWireEvent, readJson } from "./wire.js";

const status = new Status();
const empty = new Empty();
const wall = new Wall(changed);
const older = new Older(loadOlder);
if (may.has("post")) new Composer();
else byId("compose", HTMLElement).hidden = true;
keepTrue(byId("posts", HTMLElement));
void start();

async function start() {
  const { events, cursor, more, gap } = await firstPage();
  wall.addOlder(events, gap);
  if (events.length > 0) older.offer(more);
  new Connection(cursor, {
    url: streamUrl,
    events: [...KINDS.keys()],
    onEvent: (data) => receive(readJson(data)),
    onGap: (data) => lose(readJson(data)),
    onState: (state, nextTry) => status.show(state, nextTry),
  });
}

/** A server that is down is waited for, and said to be down. */
async function firstPage() {
  const backoff = new Backoff();
  for (;;) {
    try {
      return await history.latest();
    } catch {
      const wait = backoff.next();
      status.show("reconnecting", Date.now() + wait);
      await nap(wait);
    }
  }
}

/**
 * Should the list have lost its end while the page was on its way, that page no
 * longer joins on to it, and the one that does is asked for instead.
 */
async function loadOlder() {
  for (;;) {
    const asked = wall.oldest;
    const page = await history.before(asked);
    if (wall.oldest !== asked) continue;
    wall.addOlder(page.events, page.gap);
    return page;
  }
}

/** @param {unknown} event */
function receive(event) {
  if (isWireEvent(event)) wall.arrive(event);
}

/** @param {unknown} gap */
function lose(gap) {
  wall.lose(isRecord(gap) ? gap : {});
}

/** @param {boolean} trimmed whether posts fell off the end */
function changed(trimmed) {
  empty.shown = wall.empty;
  if (trimmed) older.offer(true);
}
