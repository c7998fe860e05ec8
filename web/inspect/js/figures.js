// @ts-check
// Owns the numbers about the line and what comes over it; never counts.

import { byId, say } from "../../js/dom.js";
import { age, count, rate, size, some } from "./words.js";

/** @typedef {import("./tally.js").Tally} Tally */

/** The sparkline's own units: one a second, and so many up. */
const HEIGHT = 24;

export class Figures {
  #cursor = byId("cursor", HTMLElement);
  #heard = byId("heard", HTMLElement);
  #total = byId("total", HTMLElement);
  #events = byId("rate-events", HTMLElement);
  #bytes = byId("rate-bytes", HTMLElement);
  #spark = byId("spark", SVGElement);
  #bars = byId("spark-bars", SVGPathElement);

  /**
   * @param {{ tally: Tally, cursor: string, heardAt: number }} session
   * @param {number} now
   */
  draw({ tally, cursor, heardAt }, now) {
    const { events, bytes, lastMinute } = tally.rates(now);
    say(this.#cursor, cursor || "none yet");
    say(this.#heard, heardAt ? `${age(now - heardAt)} ago` : "not yet");
    say(this.#total, count(tally.events));
    say(this.#events, rate(events));
    say(this.#bytes, size(bytes));
    this.#draw(lastMinute);
  }

  /** @param {number[]} lastMinute */
  #draw(lastMinute) {
    const most = Math.max(...lastMinute);
    this.#bars.setAttribute("d", barsOf(lastMinute, most));
    this.#spark.setAttribute("aria-label", `Events in each second of the last minute: at most ${some(most, "event")}`);
  }
}

/** @param {number[]} counts @param {number} most */
function barsOf(counts, most) {
  const bars = counts.map((n, x) => {
    // One event among thousands still shows.
    const height = n === 0 ? 0 : Math.max(1, (n / most) * HEIGHT);
    return height && `M${x} ${HEIGHT}v${-height.toFixed(1)}h0.8v${height.toFixed(1)}z`;
  });
  return bars.filter((bar) => bar !== 0).join("");
}
