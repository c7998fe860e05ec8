// @ts-check
// Owns the poster's one button.

import { byId } from "./dom.js";

byId("print", HTMLElement).addEventListener("click", () => print());
