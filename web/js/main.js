// @ts-check
// Owns how the parts are joined; must never grow logic of its own.

import { Backoff } from "./backoff.js";
import { keepTrue } from "./clock.js";
import { Composer } from "./composer.js";
import { follow } from "./connection.js";
import { byId } from "./dom.js";
import { Empty } from "./empty.js";
import * as history from "./history.js";
import { nap } from "./nap.js";
import { Older } from "./older.js";
import { Outbox } from "./outbox.js";
import { may, streamUrl } from "./page.js";
import { Pending } from "./pending.js";
import { KINDS } from "./post.js";
import { Status } from "./status.js";
import { Wall } from "./wall.js";
import { isRecord, isWireEvent, readJson } from "./wire.js";

const status = new Status();
const empty = new Empty();
const wall = new Wall(changed);
const older = new Older(loadOlder);
const outbox = may.has("post") ? compose() : undefined;
byId("compose", HTMLElement).hidden = !outbox;
keepTrue(byId("posts", HTMLElement));
void start();

async function start() {
  const { events, cursor, more, gap } = await firstPage();
  wall.addOlder(events, gap);
  if (events.length > 0) older.offer(more);
  await follow(cursor, {
    url: streamUrl,
    events: [...KINDS.keys()],
    onEvent: (data) => receive(readJson(data)),
    onGap: (data) => lose(readJson(data)),
    onState: (state, nextTry) => {
      status.show(state, nextTry);
      if (state === "live") outbox?.wake();
    },
  });
}

/** What is written goes from the form to the outbox, and is shown on its way. */
function compose() {
  const composer = new Composer((kind, draft) => box.add(kind, draft));
  const pending = new Pending({
    onDiscard: (key) => box.discard(key),
    onEdit: (parcel) => {
      box.discard(parcel.key);
      composer.edit(parcel);
    },
  });
  const box = new Outbox({
    onChange: (parcels) => pending.show(parcels.filter(({ id = "" }) => !wall.has(id))),
    onSent: (parcel, body) => composer.sent(parcel, body),
    onRefused: (parcel, answer) => composer.refused(parcel, answer),
  });
  return box;
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
  if (!isWireEvent(event)) return;
  wall.arrive(event);
  outbox?.arrived(event.id);
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
