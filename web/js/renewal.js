// @ts-check
// Owns loading a page anew that lost its place on the wall: not while somebody holds it still, and not without a line, since
// nobody is there to load it once more.

export class Renewal {
  #hold;
  #load;
  #due = false;
  #live = false;

  /** @param {Pick<import("./hold.js").Hold, "on" | "addEventListener">} hold @param {() => void} load */
  constructor(hold, load) {
    this.#hold = hold;
    this.#load = load;
    hold.addEventListener("end", () => this.#look());
  }

  /** The page has lost its place. */
  ask() {
    this.#due = true;
    this.#look();
  }

  /** @param {boolean} live */
  line(live) {
    this.#live = live;
    this.#look();
  }

  #look() {
    if (!this.#due || !this.#live || this.#hold.on) return;
    this.#due = false;
    this.#load();
  }
}
