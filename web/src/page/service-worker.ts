/**
 * The service worker: the page, the runtime and the models are kept on the device, so that the page works offline.
 *
 * Its answers isolate the page from other origins (COOP, COEP), which wasm's threads need; so a plain file server does.
 */

declare const SHELL: string[];
declare const VERSION: string;
declare const self: Worker & {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
};

const PREFIX = "rlfn-web-";
const NAME = PREFIX + VERSION;
const ASSETS = /^(models|runtime)\//;

interface Lasting extends Event {
  waitUntil(done: Promise<unknown>): void;
}

interface Fetching extends Event {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

self.addEventListener("install", (event) => {
  (event as Lasting).waitUntil(
    (async () => {
      const cache = await caches.open(NAME);
      await cache.addAll(SHELL.map((name) => new Request(name, { cache: "reload" })));
    })(),
  );
});

self.addEventListener("activate", (event) => {
  (event as Lasting).waitUntil(
    (async () => {
      for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("message", (event) => {
  const { data, ports } = event as MessageEvent<{ keep?: string[] }>;
  if (!data.keep) return;
  const done = keep(data.keep).then(
    () => ports[0].postMessage("kept"),
    (error) => ports[0].postMessage(String(error)),
  );
  (event as unknown as Lasting).waitUntil(done);
});

self.addEventListener("fetch", (event) => {
  const { request } = event as Fetching;
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  (event as Fetching).respondWith(answer(request));
});

async function keep(names: string[]): Promise<void> {
  const cache = await caches.open(NAME);
  for (const name of names) if (!(await cache.match(name))) await cache.add(name);
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(NAME);
  const name = request.url.slice(self.registration.scope.length).replace(/[?#].*$/, "");
  const place = name === "index.html" || name === "" ? "./" : name;
  const found = await cache.match(place);
  if (found) return isolated(found);
  const fresh = await fetch(request);
  if (ASSETS.test(name) && fresh.status === 200) await cache.put(name, fresh.clone());
  return isolated(fresh);
}

function isolated(response: Response): Response {
  if (response.type === "opaque" || response.type === "opaqueredirect" || response.type === "error") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

export {};
