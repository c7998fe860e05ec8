// @ts-check
// Owns how numbers, sizes and times read on this page; never touches it.

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {number} n */
export const count = (n) => whole.format(n);

/** @param {number} n */
export const rate = (n) => (n >= 10 ? whole : tenths).format(n >= 10 ? Math.round(n) : n);

/** @param {number} n @param {string} one @param {string} [many] */
export const some = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1024) return `${count(Math.round(bytes))} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10));
  return `${rate(bytes / 1024 ** power)} ${units[power - 1]}`;
}

/** @param {number} ms */
export function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${tenths.format(ms / 1000)} s`;
  return ms < 5_400_000 ? `${Math.round(ms / 60_000)} min` : `${tenths.format(ms / 3_600_000)} h`;
}

/** @param {number} ms whole seconds are enough */
export const age = (ms) => span(Math.max(0, Math.floor(ms / 1000)) * 1000).replace(/^0 ms$/, "0 s");

/**
 * The time of day here; empty for what is no time.
 * @param {number | string} time
 */
export function timeOfDay(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : clock.format(date);
}

/** The same to the millisecond. @param {number | string} time */
export function exactTime(time) {
  const second = timeOfDay(time);
  return second && `${second}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}`;
}
