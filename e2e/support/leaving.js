// @ts-check
// Owns what must be cleaned up when this process ends before its tests do, as after Ctrl-C.

/** @type {Set<() => void>} */
const chores = new Set();

process.on("exit", () => chores.forEach(attempt));
for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT", "SIGHUP"])) {
  process.once(signal, () => process.exit(1));
}

/**
 * @param {() => void} chore must not wait for anything
 * @returns {() => void} to call when it is no longer needed
 */
export function whenLeaving(chore) {
  chores.add(chore);
  return () => void chores.delete(chore);
}

/**
 * One that fails must not keep the others from being done.
 * @param {() => void} chore
 */
function attempt(chore) {
  try {
    chore();
  } catch (error) {
    console.error(error);
  }
}
