// @ts-check
// Owns proxies that hold a stream back: one of our own that keeps every byte until the end of an answer, and
// a real nginx that buffers and compresses. Both can stop that.

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, request as ask } from "node:http";
import { connect } from "node:net";
import path from "node:path";

import { listen } from "./listening.js";
import { Program } from "./program.js";
import { temporary } from "./temporary.js";
import { until } from "./until.js";

/**
 * @typedef {import("./server.js").Owner} Owner
 * @typedef {import("./server.js").Server} Server
 * @typedef {{ origin: string, pass(): Promise<void> }} Buffering `pass` lets bytes through from then on
 * @typedef {(owner: Owner, server: Server) => Promise<Buffering>} Start
 */

/** @type {Start} */
export async function holding(owner, server) {
  let holds = true;
  const proxy = createServer((request, answer) => {
    const upstream = ask(server.origin + request.url, { method: request.method, headers: request.headers });
    upstream.on("response", async (response) => {
      // Asked once, as a proxy decides it by its settings of that time.
      const held = holds ? /** @type {Buffer[]} */ ([]) : undefined;
      if (!held) answer.writeHead(response.statusCode ?? 502, response.headers);
      try {
        for await (const piece of response) held ? held.push(piece) : answer.write(piece);
      } catch {
        return answer.destroy();
      }
      if (held) answer.writeHead(response.statusCode ?? 502, response.headers);
      return answer.end(held && Buffer.concat(held));
    });
    upstream.on("error", () => answer.destroy());
    answer.on("close", () => upstream.destroy());
    request.pipe(upstream);
  });
  const origin = await listen(proxy);
  owner.after(async () => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return { origin, pass: async () => void (holds = false) };
}

/** @type {Start} */
export async function nginx(owner, server) {
  const file = await temporary(owner, "nginx.conf");
  const folder = path.dirname(file);
  const port = await freePort();
  const settings = (/** @type {string} */ buffering) => `
${process.getuid?.() === 0 ? "user root;" : ""} daemon off; pid ${folder}/nginx.pid; error_log stderr warn; worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  # A reload closes the connections that were kept, and Node does not repeat a request that was lost with one.
  keepalive_timeout 0;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${server.origin}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      # Buffering alone lets events through; what holds them back is the compression behind it.
      gzip on; gzip_types text/event-stream; gzip_proxied any;
      proxy_buffering ${buffering}; proxy_ignore_headers X-Accel-Buffering;
    }
  }
}`;
  await writeFile(file, settings("on"));
  const words = ["-p", folder, "-c", file, "-e", "stderr"];
  // Its workers outlive a master that is killed; so it is asked to stop before that.
  owner.after(() => program.stop());
  const program = Program.start(owner, "nginx", words);
  await until(`nginx to listen: ${program.complained}`, () => listens(port));
  const pass = async () => {
    await writeFile(file, settings("off"));
    const reload = Program.start(owner, "nginx", [...words, "-s", "reload"]);
    if ((await reload.ended()) !== 0) throw new Error(`nginx does not reload: ${reload.complained}`);
  };
  return { origin: `http://127.0.0.1:${port}`, pass };
}

async function freePort() {
  const server = createServer();
  const { port } = new URL(await listen(server));
  server.close();
  await once(server, "close");
  return Number(port);
}

/** @param {number} port @returns {Promise<boolean>} */
function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(!socket.destroy().connecting));
    socket.on("error", () => resolve(false));
  });
}
