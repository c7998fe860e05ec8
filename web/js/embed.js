// @ts-check
// Owns how the parts of an embedded wall are joined; must never grow logic of its own.

import { byId } from "./dom.js";
import { Hold } from "./hold.js";
import { look } from "./onlooker.js";
import { Strip } from "./strip.js";

const list = byId("posts", HTMLElement);
const hold = new Hold();
look(list, new Strip(list, hold), hold);
