// @ts-check
// Owns moving between posts by keyboard, as a feed should; never changes what is shown.

/** @param {HTMLElement} list */
export function rove(list) {
  list.addEventListener("focusin", ({ target }) => target instanceof HTMLElement && choose(list, target));
  list.addEventListener("keydown", (event) => {
    const step = { PageDown: 1, PageUp: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const posts = articlesOf(list);
    const next = posts[posts.findIndex((post) => post === document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

/**
 * Keeps exactly one post in the tab order: the focused one, else the newest.
 * @param {HTMLElement} list
 * @param {HTMLElement} [post]
 */
export function choose(list, post) {
  const focused = list.contains(document.activeElement) && document.activeElement !== list;
  if (!post && focused) return;
  const chosen = post?.matches(".post") ? post : list.querySelector(".post");
  for (const other of list.querySelectorAll('.post[tabindex="0"]')) other.setAttribute("tabindex", "-1");
  chosen?.setAttribute("tabindex", "0");
}

/** @param {HTMLElement} list */
function articlesOf(list) {
  return [.../** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll(".post"))];
}
