// @ts-check
// Owns how times read and keeps them true while the page is open; never starts a second timer.

import { language, say } from "./words.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const REFRESH = 10_000;

const full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
const thisYear = new Intl.DateTimeFormat(language, { day: "numeric", month: "long" });
const otherYear = new Intl.DateTimeFormat(language, { day: "numeric", month: "long", year: "numeric" });

/**
 * @param {Date} then
 * @param {Date} now
 */
export function relative(then, now) {
  const age = now.getTime() - then.getTime();
  // A server clock ahead of ours must not put posts in the future.
  if (age < 45_000) return say("now");
  if (age < HOUR - MINUTE / 2) return say("minutes", { count: Math.max(1, Math.round(age / MINUTE)) });
  const days = midnightsBetween(then, now);
  if (days === 0 || age < 8 * HOUR) return say("hours", { count: Math.max(1, Math.floor(age / HOUR)) });
  if (days === 1) return say("yesterday");
  if (days < 7) return say("days", { count: days });
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
