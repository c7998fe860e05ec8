// @ts-check
// Owns the button by which a reader holds a wall still; `end` is told when it is to go on. What waits meanwhile, and
// where, others know.

import { byId } from "./dom.js";
import { say } from "./words.js";

export class Hold extends EventTarget {
  #button = byId("hold", HTMLButtonElement);

  constructor() {
    super();
    this.#button.hidden = false;
    this.#button.addEventListener("click", () => {
      this.#button.setAttribute("aria-pressed", String(!this.on));
      this.#button.title = say(this.on ? "hold.end" : "hold");
      if (!this.on) this.dispatchEvent(new Event("end"));
    });
  }

  get on() {
    return this.#button.getAttribute("aria-pressed") === "true";
  }
}
