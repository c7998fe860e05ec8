// @ts-check
// Owns what a client of the shape of EventSource says, as lines. Runs in Node and, sent there as text, in pages.

/**
 * @typedef {EventTarget & { readyState: number, url: string, close(): void }} Source
 * @typedef {new (url: string, options?: object) => Source} Class
 */

/**
 * @param {Class} Source
 * @param {string} url
 * @param {object | undefined} options
 */
export function telling(Source, url, options) {
  const source = new Source(url, options);
  /** @type {string[]} */
  const log = [];
  if (options && "closeWhenLive" in options) source.addEventListener("state", () => source.close());
  /** @param {Event} event */
  const of = (event) => ("data" in event ? `, an event with ${event.data}` : event.bubbles || event.cancelable ? ", and more" : "");
  source.addEventListener("open", (event) => log.push(`open${of(event)}`));
  source.addEventListener("error", (event) => log.push(`error ${source.readyState}${of(event)}`));
  source.addEventListener("message", (event) => {
    const { data, lastEventId, origin } = /** @type {MessageEvent} */ (event);
    log.push(`message ${data} ${lastEventId} ${origin}`);
    if (data === "close") source.close();
  });
  return { look: () => ({ log, state: source.readyState, url: source.url }), close: () => source.close() };
}
