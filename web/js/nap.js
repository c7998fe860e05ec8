// @ts-check
// Owns one interruptible wait; never decides what happens after it.

/**
 * Ends after `ms`, or at once when the network is back or the reader returns.
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function nap(ms) {
  return new Promise((resolve) => {
    const awake = new AbortController();
    const wake = () => {
      clearTimeout(timer);
      awake.abort();
      resolve();
    };
    const timer = setTimeout(wake, ms);
    addEventListener("online", wake, { signal: awake.signal });
    const seen = () => document.visibilityState === "visible" && wake();
    document.addEventListener("visibilitychange", seen, { signal: awake.signal });
  });
}
