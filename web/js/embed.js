// @ts-check
// Owns how the parts of an embedded wall are joined; must never grow logic of its own.

import { adopt, cardOf } from "./card.js";
import { keepTrue } from "./clock.js";
import { follow, REMOVE } from "./connection.js";
import { byId } from "./dom.js";
import { cursor, streamUrl } from "./page.js";
import { KINDS, readPost } from "./post.js";
import { Quiet } from "./quiet.js";
import { isRecord, isWireEvent, readJson } from "./wire.js";

/** Posts that it shows at most. */
const MOST = 60;
const list = byId("posts", HTMLElement);
const quiet = new Quiet();
for (const card of list.querySelectorAll(".post")) adopt(/** @type {HTMLElement} */ (card));
keepTrue(list);
void follow(cursor, {
  url: streamUrl,
  events: [...KINDS.keys()],
  onEvent: (data) => show(readJson(data)),
  onChange: (name, data) => change(name, readJson(data)),
  onGap: () => location.reload(),
  onState: (state) => quiet.show(state === "live"),
});

/** @param {string} id */
const card = (id) => list.querySelector(`.post[data-id="${CSS.escape(id)}"]`);

/** @param {unknown} event */
function show(event) {
  const post = isWireEvent(event) ? readPost(event) : undefined;
  if (!post || card(post.id)) return;
  list.prepend(cardOf(post));
  for (const old of [...list.children].slice(MOST)) old.remove();
  byId("nothing", HTMLElement).hidden = true;
}

/** @param {string} name @param {unknown} event */
function change(name, event) {
  const told = isWireEvent(event) ? readJson(event.data) : undefined;
  if (!isWireEvent(event) || !isRecord(told) || typeof told.post !== "string") return;
  const { post: id, event: kind, data } = /** @type {Record<string, string>} */ (told);
  const old = card(id ?? "");
  if (name === REMOVE) return old?.remove();
  const time = old?.querySelector("time")?.dateTime ?? event.time;
  const post = readPost({ id: id ?? "", event: kind ?? "", data: data ?? "", time, by: event.by, edited: true });
  if (post) old?.replaceWith(cardOf(post));
}
