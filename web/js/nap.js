// @ts-check
// Owns one interruptible wait; never decides what happens after it.

/**
 * Ends after `ms`, or at once when the network is back, the reader returns or `signal` says so.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function nap(ms, signal) {
  return new Promise((resolve) => {
    const awake = new AbortController();
    const wake = () => {
      clearTimeout(timer);
      awake.abort();
      resolve();
    };
    const timer = setTimeout(wake, ms);
    addEventListener("online", wake, { signal: awake.signal });
    signal?.addEventListener("abort", wake, { signal: awake.signal });
    const seen = () => document.visibilityState === "visible" && wake();
    document.addEventListener("visibilitychange", seen, { signal: awake.signal });
  });
}
