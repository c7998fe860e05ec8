// @ts-check
// Owns one NATS server with JetStream, on a port of its own; never leaves it or its files behind.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { whenLeaving } from "./leaving.js";
import { until } from "./until.js";

const PROGRAM = process.env.EVENTWALL_NATS_SERVER || "nats-server";

export class Nats {
  port = 0;

  /** @param {import("./server.js").Owner} owner */
  static async start(owner) {
    const folder = await mkdtemp(path.join(tmpdir(), "eventwall-nats-"));
    const child = spawn(PROGRAM, ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder, "--ports_file_dir", folder], { stdio: "ignore" });
    const settled = whenLeaving(() => {
      child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    });
    owner.after(async () => {
      child.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
      settled();
    });
    /** @type {Error | undefined} */
    let failed;
    child.on("error", (error) => (failed = error));
    const nats = new Nats();
    const file = path.join(folder, `${path.basename(PROGRAM)}_${child.pid}.ports`);
    nats.port = await until(`${PROGRAM} to answer (apt-get install nats-server)`, async () => {
      if (failed) throw failed;
      const ports = JSON.parse(await readFile(file, "utf8").catch(() => "{}"));
      return Number(ports.nats?.[0]?.split(":").at(-1));
    });
    return nats;
  }
}
