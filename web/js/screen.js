// @ts-check
// Owns how the parts of the screen are joined; must never grow logic of its own.

import { Board } from "./board.js";
import { adopt } from "./card.js";
import { keepTrue } from "./clock.js";
import { follow } from "./connection.js";
import { byId } from "./dom.js";
import { Hold } from "./hold.js";
import { cursor, streamUrl } from "./page.js";
import { KINDS, readPost } from "./post.js";
import { Quiet } from "./quiet.js";
import { Renewal } from "./renewal.js";
import { Tally } from "./tally.js";
import { tick } from "./wallclock.js";
import { isWireEvent, readJson } from "./wire.js";

const list = byId("posts", HTMLElement);
for (const card of list.querySelectorAll(".post")) adopt(/** @type {HTMLElement} */ (card));
const hold = new Hold();
const board = new Board(list, hold);
const renewal = new Renewal(hold, () => location.reload());
const tally = new Tally(true);
const quiet = new Quiet();
keepTrue(list);
tick(byId("clock", HTMLTimeElement));
void follow(cursor, {
  url: streamUrl,
  events: [...KINDS.keys()],
  onEvent: (data) => show(readJson(data)),
  onChange: change,
  onGap: () => renewal.ask(),
  onState: (state) => {
    quiet.show(state === "live");
    renewal.line(state === "live");
  },
});

/** @param {unknown} event */
function show(event) {
  const post = isWireEvent(event) ? readPost(event) : undefined;
  if (!post) return;
  tally.add(post.id);
  board.add(post);
}

/** @param {import("./change.js").Change} change */
function change({ post: id, time, now }) {
  if (!now) {
    tally.remove();
    return board.remove(id);
  }
  const post = readPost({ id, time: board.timeOf(id) ?? time, edited: true, ...now });
  if (post) board.replace(post);
}
