// @ts-check
// Owns counting per second over the last so many seconds. Time is passed in; nothing here grows.

export class Meter {
  #counts;
  #second = 0;

  /** @param {number} seconds */
  constructor(seconds) {
    this.#counts = new Array(seconds).fill(0);
  }

  /** @param {number} count @param {number} now in milliseconds */
  add(count, now) {
    this.#turn(now);
    const at = this.#second % this.#counts.length;
    this.#counts[at] = (this.#counts[at] ?? 0) + count;
  }

  /**
   * The mean over the last whole seconds.
   * @param {number} seconds fewer than it remembers
   * @param {number} now
   */
  perSecond(seconds, now) {
    const whole = this.counts(now).slice(-seconds - 1, -1);
    return whole.reduce((sum, count) => sum + count, 0) / seconds;
  }

  /**
   * One count a second, oldest first; the last second is not over yet.
   * @param {number} now
   * @returns {number[]}
   */
  counts(now) {
    this.#turn(now);
    const next = (this.#second + 1) % this.#counts.length;
    return [...this.#counts.slice(next), ...this.#counts.slice(0, next)];
  }

  /** @param {number} now */
  #turn(now) {
    const second = Math.floor(now / 1000);
    const span = this.#counts.length;
    // A clock that was set back counts into the second it stands at.
    for (let s = Math.max(this.#second + 1, second - span + 1); s <= second; s += 1) this.#counts[s % span] = 0;
    this.#second = Math.max(this.#second, second);
  }
}
