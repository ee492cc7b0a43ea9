// A small file server for the built page: node scripts/serve.mjs [PORT] [--plain]. --plain leaves out the headers that
// isolate the page, as a plain file server does.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const KINDS = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};
const root = fileURLToPath(new URL("../dist/", import.meta.url));
const plain = process.argv.includes("--plain");
const port = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 8080);

createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  const file = join(root, path.endsWith("/") ? `${path}index.html` : path);
  try {
    if (!file.startsWith(root) || !statSync(file).isFile()) throw new Error("no file");
    response.setHeader("Content-Type", KINDS[extname(file)] ?? "application/octet-stream");
    response.setHeader("Cache-Control", "no-cache");
    if (!plain) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end("There is no such file.\n");
  }
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`));
