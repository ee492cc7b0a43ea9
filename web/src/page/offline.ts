/** Keeping the page on the device: the service worker, and what it shall hold. */

import { DEFAULT_FAMILY, gpuAnswers, MODELS } from "../upscale.js";

const RELOADED = "rlfn-reloaded";

/** Install the service worker and say when the page works offline. */
export async function keepOffline(line: HTMLElement): Promise<void> {
  if (!("serviceWorker" in navigator)) {
    line.textContent = "This browser keeps no pages, so this one needs the network. (It would over https.)";
    return;
  }
  try {
    await navigator.serviceWorker.register("service-worker.js");
    const { active } = await navigator.serviceWorker.ready;
    isolate();
    await kept(active!, await wanted());
    line.textContent = "This page works offline now. Each model is kept once it was used.";
  } catch {
    line.textContent = "This page could not be kept on the device, so it needs the network.";
  }
}

/** What the first picture will need: the runtime of this device, and the default family at each scale. */
async function wanted(): Promise<string[]> {
  const runtime = (await gpuAnswers()) ? "ort-wasm-simd-threaded.asyncify.wasm" : "ort-wasm-simd-threaded.wasm";
  const models = MODELS.filter((model) => model.family === DEFAULT_FAMILY);
  return [`runtime/${runtime}`, ...models.map((model) => `models/${model.file}`)];
}

function kept(worker: ServiceWorker, names: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => (data === "kept" ? resolve() : reject(new Error(String(data))));
    worker.postMessage({ keep: names }, [port2]);
  });
}

/**
 * Load the page once more on the first visit, if nobody has touched it yet: the service worker's answer isolates the page
 * from other origins, and wasm's threads need that. Where the server itself isolates, there is nothing to do.
 */
function isolate(): void {
  try {
    if (crossOriginIsolated || sessionStorage.getItem(RELOADED) || navigator.userActivation?.hasBeenActive !== false) return;
    sessionStorage.setItem(RELOADED, "1");
    location.reload();
  } catch {
    // a browser without storage stays with one thread until the next visit
  }
}
