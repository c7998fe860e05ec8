// @ts-check
// Owns how the parts of the screen are joined; must never grow logic of its own.

import { Board } from "./board.js";
import { byId } from "./dom.js";
import { Hold } from "./hold.js";
import { look } from "./onlooker.js";
import { Tally } from "./tally.js";
import { tick } from "./wallclock.js";

const list = byId("posts", HTMLElement);
const hold = new Hold();
const board = new Board(list, hold);
const tally = new Tally(true);
tick(byId("clock", HTMLTimeElement));
look(
  list,
  {
    add: (post) => {
      tally.add(post.id);
      board.add(post);
    },
    replace: (post) => board.replace(post),
    remove: (id) => {
      tally.remove();
      board.remove(id);
    },
    timeOf: (id) => board.timeOf(id),
  },
  hold,
);
