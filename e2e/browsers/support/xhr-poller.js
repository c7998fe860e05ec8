// @ts-check
// Owns a follower by XMLHttpRequest that reads an answer while it grows, and now and then aborts it, since
// the page holds all of it in memory. It runs in the page.

/**
 * @typedef {import("../../support/client.js").Arrival} Arrival
 * @typedef {{ parseEvents(text: string): Arrival[] }} Page
 */

/**
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {number} abortAfter milliseconds; 50,000 were usual
 */
export function followWithXhr(url, headers, abortAfter) {
  const { parseEvents } = /** @type {Page} */ (/** @type {unknown} */ (window));
  const record = { arrivals: /** @type {Arrival[]} */ ([]), breaks: 0, aborts: 0, over: () => false, close };
  let lastId = "";
  let stopped = false;
  let request = ask();

  function ask() {
    const xhr = new XMLHttpRequest();
    let read = 0;
    const take = () => {
      const end = xhr.responseText.lastIndexOf("\n\n") + 2;
      if (end < read + 2) return;
      for (const event of parseEvents(xhr.responseText.slice(read, end))) {
        record.arrivals.push(event);
        lastId = event.id || lastId;
      }
      read = end;
    };
    xhr.open("GET", url);
    xhr.setRequestHeader("Accept", "text/event-stream");
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    if (lastId) xhr.setRequestHeader("Last-Event-ID", lastId);
    const abort = setTimeout(() => xhr.abort(), abortAfter);
    xhr.onprogress = take;
    xhr.onload = take;
    xhr.onabort = () => again(0);
    xhr.onloadend = () => clearTimeout(abort);
    xhr.addEventListener("load", () => failed());
    xhr.addEventListener("error", () => failed());
    xhr.send();
    return xhr;
  }

  function failed() {
    record.breaks += 1;
    again(500);
  }

  /** @param {number} pause */
  function again(pause) {
    if (pause === 0) record.aborts += 1;
    if (!stopped) setTimeout(() => (request = ask()), pause);
  }

  function close() {
    stopped = true;
    request.abort();
  }

  Object.assign(window, { record });
}
