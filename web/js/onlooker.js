// @ts-check
// Owns following a wall for who only looks: what comes goes to whatever shows it, a lost line is a quiet mark, and a
// page that lost its place is loaded anew. It shows no post itself.

import { adopt } from "./card.js";
import { keepTrue } from "./clock.js";
import { follow } from "./connection.js";
import { cursor, streamUrl } from "./page.js";
import { KINDS, readPost } from "./post.js";
import { Quiet } from "./quiet.js";
import { Renewal } from "./renewal.js";
import { isWireEvent, readJson } from "./wire.js";

/**
 * @typedef {import("./post.js").Post} Post
 *
 * @typedef {object} Shown what shows the posts
 * @property {(post: Post) => void} add
 * @property {(post: Post) => void} replace
 * @property {(id: string) => void} remove
 * @property {(id: string) => string | undefined} timeOf when a post was made, if it is here
 */

/** @param {HTMLElement} list with what the server put there @param {Shown} shown @param {import("./hold.js").Hold} hold */
export function look(list, shown, hold) {
  for (const card of list.querySelectorAll(".post")) adopt(/** @type {HTMLElement} */ (card));
  keepTrue(list);
  const quiet = new Quiet();
  const renewal = new Renewal(hold, () => location.reload());
  void follow(cursor, {
    url: streamUrl,
    events: [...KINDS.keys()],
    onEvent: (data) => add(shown, readJson(data)),
    onChange: (change) => apply(shown, change),
    onGap: () => renewal.ask(),
    onState: (state) => {
      quiet.show(state === "live");
      renewal.line(state === "live");
    },
  });
}

/** @param {Shown} shown @param {unknown} event */
function add(shown, event) {
  const post = isWireEvent(event) ? readPost(event) : undefined;
  if (post) shown.add(post);
}

/** @param {Shown} shown @param {import("./change.js").Change} change */
function apply(shown, { post: id, time, now }) {
  if (!now) return shown.remove(id);
  const post = readPost({ id, time: shown.timeOf(id) ?? time, edited: true, ...now });
  if (post) shown.replace(post);
}
