// @ts-check
// Owns what the page says, in the language that the server chose for it; never a word of its own.

const page = document.documentElement.lang || undefined;
const plurals = new Intl.PluralRules(page);
/** @type {Record<string, string>} */
const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

/** The language that is spoken here (BCP 47). */
export const language = page;

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values] for the places in it
 */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}

/** The sentence for a number. @param {string} key @param {number} count */
export function sayCount(key, count) {
  const form = `${key}.${plurals.select(count)}`;
  return say(form in words ? form : `${key}.other`, { count: count.toLocaleString(page) });
}
