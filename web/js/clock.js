// @ts-check
// Owns how times read and keeps them true while the page is open; never starts a second timer.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const REFRESH = 10_000;

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const thisYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const otherYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

/**
 * @param {Date} then
 * @param {Date} now
 */
export function relative(then, now) {
  const age = now.getTime() - then.getTime();
  // A server clock ahead of ours must not put posts in the future.
  if (age < 45_000) return "just now";
  if (age < HOUR - MINUTE / 2) return `${Math.max(1, Math.round(age / MINUTE))} min ago`;
  const days = midnightsBetween(then, now);
  if (days === 0 || age < 8 * HOUR) return `${Math.max(1, Math.floor(age / HOUR))} h ago`;
  if (days === 1) return "yesterday";
  if (days < 7) return `${days} days ago`;
  return (then.getFullYear() === now.getFullYear() ? thisYear : otherYear).format(then);
}

/**
 * @param {Date} then
 * @param {Date} now
 */
function midnightsBetween(then, now) {
  /** @param {Date} date */
  const day = (date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / DAY;
  return day(now) - day(then);
}

/**
 * @param {HTMLTimeElement} element
 * @param {string} iso
 */
export function stamp(element, iso) {
  const then = new Date(iso);
  if (Number.isNaN(then.getTime())) return element.remove();
  element.dateTime = iso;
  element.title = full.format(then);
  element.textContent = relative(then, new Date());
}

/**
 * One timer for every time inside; it also runs when the reader comes back after a sleep.
 * @param {ParentNode} root
 */
export function keepTrue(root) {
  const refresh = () => {
    const now = new Date();
    for (const element of root.querySelectorAll("time")) {
      const words = relative(new Date(element.dateTime), now);
      if (element.textContent !== words) element.textContent = words;
    }
  };
  setInterval(refresh, REFRESH);
  document.addEventListener("visibilitychange", refresh);
}
