// @ts-check
// Owns cutting a stream's bytes into lines: UTF-8, the byte order mark, the three line ends, and
// the line that lies in two chunks. Must never hold more of a line than its limit.

/** @typedef {(line: string, cut: boolean) => void} Sink told whether the line had to be cut */

export class Lines {
  // It drops one leading byte order mark, as the standard asks, and replaces what is no UTF-8.
  #text = new TextDecoder();
  #partial = "";
  #cut = false;
  // A CR ended its line at once: an LF that comes next belongs to it.
  #swallow = false;
  #limit;
  #sink;

  /**
   * @param {number} limit in UTF-16 units
   * @param {Sink} sink
   */
  constructor(limit, sink) {
    this.#limit = limit;
    this.#sink = sink;
  }

  /** @param {Uint8Array} chunk */
  feed(chunk) {
    const text = this.#text.decode(chunk, { stream: true });
    if (text === "") return;
    const from = this.#swallow && text.startsWith("\n") ? 1 : 0;
    this.#swallow = text.endsWith("\r");
    this.#keep(text.slice(this.#whole(text, from)));
  }

  /** @param {string} text @param {number} from @returns {number} where the unfinished line begins */
  #whole(text, from) {
    const ends = /\r\n|\n|\r/g;
    ends.lastIndex = from;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#keep(text.slice(from, end.index));
      this.#finish();
      from = ends.lastIndex;
    }
    return from;
  }

  /** @param {string} text */
  #keep(text) {
    const room = this.#limit - this.#partial.length;
    this.#cut ||= text.length > room;
    this.#partial += text.slice(0, room);
  }

  #finish() {
    const [line, cut] = [this.#partial, this.#cut];
    this.#partial = "";
    this.#cut = false;
    this.#sink(line, cut);
  }
}
