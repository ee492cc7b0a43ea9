/** What can compute here. */

import type { Device } from "./protocol.js";

const MOST_THREADS = 8;

/** Choose the device: WebGPU if it was asked for or if a real GPU answers. */
export async function chooseDevice(asked: Device | "auto"): Promise<Device> {
  if (asked !== "auto") return asked;
  try {
    const gpu = (globalThis.navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } } | undefined)?.gpu;
    const adapter = await gpu?.requestAdapter();
    return adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) ? "webgpu" : "wasm";
  } catch {
    return "wasm";
  }
}

interface Adapter {
  readonly isFallbackAdapter?: boolean;
  readonly info?: { readonly isFallbackAdapter?: boolean };
}

/** Threads that wasm may use: one unless the page is isolated from other origins, which shared memory needs. */
export function threadsHere(): number {
  const { crossOriginIsolated, navigator } = globalThis;
  return crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
}
