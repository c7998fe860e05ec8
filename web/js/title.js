// @ts-check
// Owns the window's title and the count of posts nobody has looked at yet.

export class Title {
  #plain = document.title;
  #unseen = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => document.hidden || this.#set(0));
  }

  /** @param {number} posts */
  arrived(posts) {
    if (document.hidden) this.#set(this.#unseen + posts);
  }

  /** @param {number} unseen */
  #set(unseen) {
    this.#unseen = unseen;
    document.title = unseen ? `(${unseen}) ${this.#plain}` : this.#plain;
  }
}
