// @ts-check
// Owns how long to wait before the next try; never waits itself.

const FIRST = 1_000;
const LONGEST = 30_000;

export class Backoff {
  #tries = 0;

  /** Milliseconds until the next try: doubling, jittered so that many pages do not come back at once. */
  next() {
    const ceiling = Math.min(LONGEST, FIRST * 2 ** (this.#tries += 1));
    return Math.max(FIRST, Math.round(ceiling * (0.5 + Math.random() / 2)));
  }

  reset() {
    this.#tries = 0;
  }
}
