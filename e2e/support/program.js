// @ts-check
// Owns one program: a real process, what it prints, and how it ends.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { until, within } from "./until.js";

/** @typedef {import("./server.js").Owner} Owner */

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));

export class Program {
  /** All that it printed. */
  said = "";
  /** All that it complained of. */
  complained = "";
  #child;
  #ended;

  /**
   * @param {string} command
   * @param {string[]} args
   */
  constructor(command, args) {
    this.#child = spawn(command, args, { cwd: REPOSITORY });
    this.#ended = once(this.#child, "close");
    this.#child.stdout.setEncoding("utf8").on("data", (text) => (this.said += text));
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.complained += text));
  }

  /**
   * Starts it; it is killed when its owner is done.
   * @param {Owner} owner
   * @param {string} command
   * @param {string[]} [args]
   */
  static start(owner, command, args = []) {
    const program = new Program(command, args);
    owner.after(async () => void program.#child.kill("SIGKILL"));
    return program;
  }

  /**
   * A program for Node, of modules as they are in this repository.
   * @param {Owner} owner
   * @param {string} text
   */
  static script(owner, text) {
    const program = Program.start(owner, process.execPath, ["--no-warnings", "--input-type=module"]);
    program.write(text);
    program.end();
    return program;
  }

  /** Gives it something to read. @param {string} text */
  write(text) {
    this.#child.stdin.write(text);
  }

  /** Ends what it reads. */
  end() {
    this.#child.stdin.end();
  }

  /** Asks it to end, and waits until it has. */
  async stop() {
    this.#child.kill("SIGTERM");
    await this.ended();
  }

  /** @returns {Promise<number>} its exit code */
  async ended() {
    const [code] = await within("a program to end", this.#ended);
    return code;
  }

  /** @param {string} text */
  async untilSaid(text) {
    const said = () => this.said.includes(text);
    await until(`a program to say ${JSON.stringify(text)}`, said).catch((error) => {
      throw new Error(`${error.message}; it said:\n${this.said}${this.complained}`);
    });
  }
}
