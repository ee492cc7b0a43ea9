/** Networks on onnxruntime-web: WebGPU where there is one, else wasm with SIMD and, where the page may, threads. */

import type * as Ort from "onnxruntime-web";
import { threadsHere } from "./device.js";
import { UpscaleError } from "./errors.js";
import type { AxisGrid } from "./grid.js";
import type { Model } from "./models.js";
import type { Device } from "./protocol.js";
import type { Network } from "./upscaler.js";

/** A network and where it runs. */
export interface Loaded extends Network {
  readonly device: Device;
  /** Threads of wasm; 1 on WebGPU. */
  readonly threads: number;
}

const runtimes: Partial<Record<Device, Promise<typeof Ort>>> = {};
let kept: { key: string; network: Promise<Loaded> } | undefined;

/** Load a model once; the last one is kept. */
export function loadNetwork(model: Model, device: Device, base: URL, threads = threadsHere()): Promise<Loaded> {
  const key = `${model.name} ${device} ${threads}`;
  if (kept?.key !== key) {
    const network = load(model, device, base, threads);
    kept = { key, network };
    network.catch(() => {
      if (kept?.network === network) kept = undefined;
    });
  }
  return kept.network;
}

async function load(model: Model, device: Device, base: URL, threads: number): Promise<Loaded> {
  const [ort, bytes] = await Promise.all([runtime(device, base, threads), fetchModel(model, base)]);
  return networkOf(ort, bytes, model, device, threads);
}

/** Make a network of a model's bytes. */
export async function networkOf(
  ort: typeof Ort,
  bytes: Uint8Array,
  model: Model,
  device: Device,
  threads: number,
): Promise<Loaded> {
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [device],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
  });
  return {
    model,
    device,
    threads: device === "wasm" ? threads : 1,
    run: (lr, height, width, grid) => run(ort, session, model, lr, height, width, grid),
  };
}

async function runtime(device: Device, base: URL, threads: number): Promise<typeof Ort> {
  return (runtimes[device] ??= (async () => {
    const ort: typeof Ort = device === "webgpu" ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
    ort.env.wasm.numThreads = device === "webgpu" ? 1 : threads;
    ort.env.wasm.wasmPaths = new URL("runtime/", base).href;
    ort.env.logLevel = "error";
    return ort;
  })());
}

async function fetchModel(model: Model, base: URL): Promise<Uint8Array> {
  let answer: Response;
  try {
    answer = await fetch(new URL(`models/${model.file}`, base));
  } catch {
    throw new UpscaleError(`The model ${model.name} could not be loaded. Connect to the network once; later it works offline.`);
  }
  if (!answer.ok) throw new UpscaleError(`The model ${model.name} could not be loaded: the server answered ${answer.status}.`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes.length !== model.bytes) {
    throw new UpscaleError(`The model ${model.name} arrived damaged. Reload the page.`);
  }
  return bytes;
}

async function run(
  ort: typeof Ort,
  session: Ort.InferenceSession,
  model: Model,
  lr: Float32Array,
  height: number,
  width: number,
  grid?: readonly [AxisGrid, AxisGrid],
): Promise<Float32Array> {
  const feeds: Record<string, Ort.Tensor> = { lr: new ort.Tensor("float32", lr, [1, 3, height, width]) };
  if (grid) {
    grid.forEach((axis, number) => {
      const name = number ? "columns" : "rows";
      feeds[name] = new ort.Tensor("float32", axis.interpolate, [axis.length, axis.pooled]);
      feeds[`pad_${name}`] = new ort.Tensor("float32", axis.pad, [axis.pooled + 2, axis.pooled]);
    });
  }
  const outputs = await session.run(feeds);
  const result = outputs[session.outputNames[0]];
  const sr = (await result.getData()) as Float32Array;
  if (sr.length !== lr.length * model.scale ** 2 || !isFinite(sum(sr))) {
    throw new UpscaleError(`${model.name} gave no picture on this device. Try again without the GPU.`);
  }
  result.dispose();
  return sr;
}

function sum(values: Float32Array): number {
  let total = 0;
  for (let place = 0; place < values.length; place++) total += values[place];
  return total;
}
