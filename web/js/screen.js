// @ts-check
// Owns how the parts of the screen are joined; must never grow logic of its own.

import { Board } from "./board.js";
import { adopt } from "./card.js";
import { keepTrue } from "./clock.js";
import { follow, REMOVE } from "./connection.js";
import { byId } from "./dom.js";
import { cursor, streamUrl } from "./page.js";
import { KINDS, readPost } from "./post.js";
import { Quiet } from "./quiet.js";
import { Tally } from "./tally.js";
import { tick } from "./wallclock.js";
import { isRecord, isWireEvent, readJson } from "./wire.js";

const list = byId("posts", HTMLElement);
for (const card of list.querySelectorAll(".post")) adopt(/** @type {HTMLElement} */ (card));
const board = new Board(list);
const tally = new Tally(true);
const quiet = new Quiet();
keepTrue(list);
tick(byId("clock", HTMLTimeElement));
void follow(cursor, {
  url: streamUrl,
  events: [...KINDS.keys()],
  onEvent: (data) => show(readJson(data)),
  onChange: (name, data) => change(name, readJson(data)),
  // Nobody reloads a projector.
  onGap: () => location.reload(),
  onState: (state) => quiet.show(state === "live"),
});

/** @param {unknown} event */
function show(event) {
  const post = isWireEvent(event) ? readPost(event) : undefined;
  if (!post) return;
  tally.add(post.id);
  board.add(post);
}

/** @param {string} name @param {unknown} event */
function change(name, event) {
  const told = isWireEvent(event) ? readJson(event.data) : undefined;
  if (!isWireEvent(event) || !isRecord(told) || typeof told.post !== "string") return;
  if (name === REMOVE) {
    tally.remove();
    return board.remove(told.post);
  }
  const { post: id, event: kind, data } = /** @type {Record<string, string>} */ (told);
  const post = readPost({ id: id ?? "", event: kind ?? "", data: data ?? "", time: board.timeOf(id ?? "") ?? event.time, by: event.by, edited: true });
  if (post) board.replace(post);
}
