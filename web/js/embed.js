// @ts-check
// Owns how the parts of an embedded wall are joined; must never grow logic of its own.

import { adopt, cardIn, cardOf } from "./card.js";
import { keepTrue } from "./clock.js";
import { follow } from "./connection.js";
import { byId } from "./dom.js";
import { Hold } from "./hold.js";
import { cursor, streamUrl } from "./page.js";
import { KINDS, readPost } from "./post.js";
import { Quiet } from "./quiet.js";
import { Renewal } from "./renewal.js";
import { isWireEvent, readJson } from "./wire.js";

/** Posts that it shows at most. */
const MOST = 60;
const list = byId("posts", HTMLElement);
const quiet = new Quiet();
/** @type {import("./post.js").Post[]} */
let waiting = [];
const hold = new Hold();
hold.addEventListener("end", () => waiting.splice(0).forEach(put));
const renewal = new Renewal(hold, () => location.reload());
for (const card of list.querySelectorAll(".post")) adopt(/** @type {HTMLElement} */ (card));
keepTrue(list);
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
  if (!post || cardIn(list, post.id) || waiting.some(({ id }) => id === post.id)) return;
  if (hold.on) waiting = [...waiting, post].slice(-MOST);
  else put(post);
}

/** @param {import("./post.js").Post} post */
function put(post) {
  list.prepend(cardOf(post));
  for (const old of [...list.children].slice(MOST)) old.remove();
  byId("nothing", HTMLElement).hidden = true;
}

/** @param {import("./change.js").Change} change */
function change({ post: id, time, now }) {
  const [old, held] = [cardIn(list, id), waiting.find((post) => post.id === id)];
  if (!now) {
    waiting = waiting.filter((post) => post !== held);
    return old?.remove();
  }
  const made = old?.querySelector("time")?.dateTime ?? held?.time ?? time;
  const post = readPost({ id, time: made, edited: true, ...now });
  if (!post) return;
  waiting = waiting.map((other) => (other === held ? post : other));
  old?.replaceWith(cardOf(post));
}
