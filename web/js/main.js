// @ts-check
// Owns how the parts are joined; must never grow logic of its own.

import { keepTrue } from "./clock.js";
import { Composer } from "./composer.js";
import { follow } from "./connection.js";
import { copyText } from "./copy.js";
import { byId, tell } from "./dom.js";
import { Empty } from "./empty.js";
import * as history from "./history.js";
import { Older } from "./older.js";
import { Outbox } from "./outbox.js";
import { offerTools } from "./own.js";
import { cursor, may, more, oldest, streamUrl } from "./page.js";
import { Pending } from "./pending.js";
import { KINDS } from "./post.js";
import { Status } from "./status.js";
import { Tally } from "./tally.js";
import { Wall } from "./wall.js";
import { isRecord, isWireEvent, readJson } from "./wire.js";
import { say } from "./words.js";

const list = byId("posts", HTMLElement);
const empty = new Empty();
const wall = new Wall(changed);
const older = new Older(loadOlder);
const tally = new Tally();
const status = new Status(statesInWords(), (seconds) => say("state.next", { seconds }));
const outbox = may.has("post") ? compose() : undefined;
byId("compose", HTMLElement).hidden = !outbox;
keepTrue(list);
offerCopies();
wall.adopt(oldest);
if (more || !wall.empty) older.offer(more);
void follow(cursor, {
  url: streamUrl,
  events: [...KINDS.keys()],
  onEvent: (data) => receive(readJson(data)),
  onChange: change,
  onGap: (data) => lose(readJson(data)),
  onState: (state, nextTry) => {
    status.show(state, nextTry);
    if (state === "live") outbox?.wake();
  },
});

function statesInWords() {
  const states = ["connecting", "live", "reconnecting", "stale", "offline"];
  return Object.fromEntries(states.map((state) => [state, say(`state.${state}`)]));
}

function offerCopies() {
  const [line, note] = [byId("embed-line", HTMLElement), byId("embed-note", HTMLElement)];
  byId("copy-embed", HTMLElement).addEventListener("click", async () => tell(note, await copyText(line)));
}

/** What is written goes from the form to the outbox, and is shown on its way. */
function compose() {
  const composer = new Composer((kind, draft) => box.add(kind, draft));
  offerTools(list, (id, kind, draft) => composer.change(id, kind, draft));
  const pending = new Pending({
    onDiscard: (key) => box.discard(key),
    onEdit: (parcel) => {
      if (!composer.takes(parcel)) return;
      box.discard(parcel.key);
    },
  });
  const box = new Outbox({
    onChange: (parcels) => pending.show(parcels),
    onSent: (parcel, body) => composer.sent(parcel, body),
    isThere: (id) => wall.has(id),
    onRefused: (parcel, answer) => composer.refused(parcel, answer),
  });
  return box;
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
    wall.addOlder(page.events, page.oldest, page.gap);
    return page;
  }
}

/** @param {unknown} event */
function receive(event) {
  if (!isWireEvent(event)) return;
  if (!wall.has(event.id)) tally.add(event.id);
  wall.arrive(event);
  outbox?.arrived(event.id);
}

/** @param {import("./change.js").Change} change */
function change({ post, now }) {
  if (now) wall.edit(post, now);
  else if (wall.remove(post)) tally.remove();
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
