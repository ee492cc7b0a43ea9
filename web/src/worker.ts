/** The worker: pictures are decoded, made larger and encoded here, away from the page's thread. */

import { decode } from "./decode.js";
import { chooseDevice } from "./device.js";
import { toLossy, toPixels } from "./encode.js";
import { type Loaded, loadNetwork } from "./engine.js";
import { UpscaleError } from "./errors.js";
import { axisGrid } from "./grid.js";
import { findModel, type Model } from "./models.js";
import { toPng } from "./png.js";
import { previewed } from "./preview.js";
import type { Answer, Device, Made, Request } from "./protocol.js";
import { enlarge, type Making, type Work } from "./upscaler.js";

const BASE = new URL(".", import.meta.url);
const PROBE = 16;

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  const answer = (message: Answer): void => self.postMessage(message);
  try {
    const made = await make(data, (share) => answer({ id: data.id, kind: "progress", share }));
    self.postMessage({ id: data.id, kind: "done", made } satisfies Answer, { transfer: made.preview ? [made.preview] : [] });
  } catch (error) {
    answer({ id: data.id, kind: "failed", ...told(error) });
  }
};

async function make(request: Request, onProgress: (share: number) => void): Promise<Made> {
  const model = findModel(request.family, request.scale);
  const decoded = await decode(request.source);
  try {
    const notes = [...decoded.notes];
    const network = await ready(model, request, notes);
    const begin = performance.now();
    const work: Work = { network, picture: decoded.picture, tile: request.tile, gray: decoded.gray, onProgress };
    const { making, preview } = previewed(enlarge(work), request.preview ?? Infinity);
    const result = await written(making, request, notes);
    const seconds = (performance.now() - begin) / 1000;
    const { width, height } = making;
    const { device, threads } = network;
    const copy = preview();
    const small = copy && (await createImageBitmap(copy));
    return { width, height, model: model.name, device, threads, seconds, notes, result, preview: small };
  } finally {
    decoded.close();
  }
}

/** Load the network; where the GPU that was chosen here fails, take wasm and say so. */
async function ready(model: Model, request: Request, notes: string[]): Promise<Loaded> {
  const device: Device = await chooseDevice(request.device);
  if (device === "webgpu") {
    try {
      const network = await loadNetwork(model, device, BASE);
      const axis = axisGrid(0, PROBE, PROBE);
      await network.run(new Float32Array(3 * PROBE * PROBE), PROBE, PROBE, model.takesGrid ? [axis, axis] : undefined);
      return network;
    } catch (error) {
      if (request.device === "webgpu") throw new UpscaleError(`WebGPU cannot run ${model.name} here: ${words(error)}`);
      notes.push("The GPU could not run the model, so the processor did.");
    }
  }
  return loadNetwork(model, "wasm", BASE, request.threads);
}

function written(making: Making, request: Request, notes: string[]): Promise<Blob | ImageData> {
  const { output, quality } = request;
  if (output === "pixels") return toPixels(making);
  if (output === "image/png") return toPng(making);
  if (output === "image/jpeg" && making.channels % 2 === 0) notes.push("JPEG has no transparency: the picture lies on white.");
  return toLossy(making, output, quality);
}

function told(error: unknown): { message: string; expected: boolean } {
  if (error instanceof UpscaleError) return { message: error.message, expected: true };
  const said = words(error);
  if (error instanceof RangeError || /memory|bad_alloc|allocation/i.test(said)) {
    return { message: "The device's memory does not suffice for this picture. Take a smaller scale or picture.", expected: true };
  }
  return { message: `Upscaling failed: ${said}`, expected: false };
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
