// @ts-check
// Bytes → events (HTML standard, "interpreting an event stream"). It knows no network, never looks twice at
// what it has seen, and never holds more than `limit` characters of a block.

/** @typedef {{ type: string, data: string, lastEventId: string, topic?: string }} Decoded */

export class Decoder {
  // Of the standard: one leading byte order mark goes, and what is no UTF-8 becomes U+FFFD.
  #utf8 = new TextDecoder();
  #line = "";
  #cut = false;
  #afterCr = false;
  #data = "";
  #type = "";
  /** @type {string | undefined} */
  #topic;
  #size = 0;
  #spoiled = false;
  #id;
  #limit;
  #retry;

  /**
   * @param {string} lastEventId what the first event without an id carries
   * @param {(milliseconds: number) => void} onRetry called once a `retry` line is complete
   * @param {number} [limit] characters of a block; a larger one is dropped
   */
  constructor(lastEventId, onRetry, limit = 1 << 26) {
    /** The id to resume with: of the last block that was complete. */
    this.lastEventId = this.#id = lastEventId;
    this.#retry = onRetry;
    this.#limit = limit;
    /** Blocks dropped because they were too large. */
    this.dropped = 0;
  }

  /**
   * The events that these bytes complete. Stop taking them, and the rest of the bytes is lost.
   * @param {Uint8Array} bytes
   * @returns {Generator<Decoded>}
   */
  *feed(bytes) {
    const text = this.#utf8.decode(bytes, { stream: true });
    let [at, lf, cr] = [0, text.indexOf("\n"), text.indexOf("\r")];
    if (this.#afterCr && text) {
      this.#afterCr = false;
      if (lf === 0) [at, lf] = [1, text.indexOf("\n", 1)];
    }
    while (lf >= 0 || cr >= 0) {
      const isLf = cr < 0 || (lf >= 0 && lf < cr);
      const end = isLf ? lf : cr;
      this.#keep(text.slice(at, end));
      const event = this.#end();
      at = end + 1;
      if (isLf) lf = text.indexOf("\n", at);
      else {
        // The carriage return ends the line now; a line feed right behind it belongs to it.
        cr = text.indexOf("\r", at);
        if (lf === at) lf = text.indexOf("\n", (at += 1));
        else this.#afterCr = at === text.length;
      }
      if (event) yield event;
    }
    this.#keep(text.slice(at));
  }

  /** @param {string} part */
  #keep(part) {
    if (this.#line.length + part.length > this.#limit) {
      this.#cut = true;
      part = part.slice(0, Math.max(0, 16 - this.#line.length));
    }
    this.#line += part;
  }

  /** @returns {Decoded | undefined} */
  #end() {
    const line = this.#line;
    const cut = this.#cut;
    this.#line = "";
    this.#cut = false;
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "retry") {
      // What has more digits is nonsense.
      if (!cut && /^\d{1,20}$/.test(value)) this.#retry(Number(value));
    } else if (name === "data" || name === "id" || name === "event" || name === "topic") {
      if (cut || (this.#size += line.length) > this.#limit) {
        this.#spoiled = true;
        this.#data = "";
      }
      if (!this.#spoiled) this.#field(name, value);
    }
    return undefined;
  }

  /** @param {string} name @param {string} value */
  #field(name, value) {
    if (name === "data") this.#data += `${value}\n`;
    else if (name === "event") this.#type = value;
    else if (name === "topic") this.#topic = value;
    else if (!value.includes("\0")) this.#id = value;
  }

  /** @returns {Decoded | undefined} */
  #dispatch() {
    const { lastEventId } = this;
    const [data, type, topic, spoiled] = [this.#data, this.#type || "message", this.#topic, this.#spoiled];
    this.#data = this.#type = "";
    this.#topic = undefined;
    this.#size = 0;
    this.#spoiled = false;
    if (spoiled) {
      this.#id = lastEventId;
      this.dropped += 1;
      return undefined;
    }
    // An id counts at the blank line, with data or without.
    this.lastEventId = this.#id;
    return data ? { type, data: data.slice(0, -1), lastEventId: this.#id, topic } : undefined;
  }
}
