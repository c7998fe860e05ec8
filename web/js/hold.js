// @ts-check
// Owns the button by which a reader holds a wall still. What waits meanwhile, and where, others know.

import { byId } from "./dom.js";

export class Hold {
  #button = byId("hold", HTMLButtonElement);

  /** @param {() => void} onEnd called when the wall is to go on */
  constructor(onEnd) {
    this.#button.hidden = false;
    this.#button.addEventListener("click", () => {
      this.#button.setAttribute("aria-pressed", String(!this.on));
      if (!this.on) onEnd();
    });
  }

  get on() {
    return this.#button.getAttribute("aria-pressed") === "true";
  }
}
