// @ts-check
// Owns the button by which a reader holds a wall still. What waits meanwhile, and where, others know.

import { byId } from "./dom.js";

export class Hold {
  /** Called when the wall is to go on. */
  onEnd = () => {};
  #button = byId("hold", HTMLButtonElement);
  /** @type {(() => void) | undefined} */
  #due;

  constructor() {
    this.#button.hidden = false;
    this.#button.addEventListener("click", () => {
      this.#button.setAttribute("aria-pressed", String(!this.on));
      if (this.on) return;
      this.onEnd();
      this.#due?.();
    });
  }

  get on() {
    return this.#button.getAttribute("aria-pressed") === "true";
  }

  /** Does it now, or once the wall goes on; of several the last. @param {() => void} action */
  whenOver(action) {
    if (this.on) this.#due = action;
    else action();
  }
}
