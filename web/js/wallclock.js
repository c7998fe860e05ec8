// @ts-check
// Owns the clock on the screen: hours and minutes, turned over when they are.

import { language } from "./words.js";

const MINUTE = 60_000;
const format = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** @param {HTMLTimeElement} place */
export function tick(place) {
  const now = new Date();
  place.textContent = format.format(now);
  place.dateTime = now.toTimeString().slice(0, 5);
  setTimeout(() => tick(place), MINUTE - (now.getTime() % MINUTE));
}
