/**
 * Larger and sharper pictures on the visitor's own device.
 *
 * ```js
 * import { upscale } from "./upscale.js";
 * const { blob } = await upscale(file, { scale: 4, model: "rlfn-xs", onProgress: (share) => console.log(share) });
 * ```
 */

import type { Source } from "./decode.js";
import { chooseDevice } from "./device.js";
import { listing, UpscaleError } from "./errors.js";
import { DEFAULT_FAMILY, FAMILIES, findModel, MODELS, scalesOf } from "./models.js";
import type { Answer, Device, FileType, Made, Request } from "./protocol.js";

export type { Device, FileType, Source };
export { DEFAULT_FAMILY, FAMILIES, MODELS, scalesOf, UpscaleError };
export type { Model } from "./models.js";

/** How a picture is made larger. */
export interface Options {
  /** 2, 3 or 4, as the model has it; its largest where none is given. */
  scale?: number;
  /** A family of models: one of {@link FAMILIES}; the first where none is given. */
  model?: string;
  /** Called with the finished share, 0 to 1, after each tile. */
  onProgress?: (share: number) => void;
  /** Ends the work at once; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** `"auto"`: WebGPU where a GPU answers, else wasm. */
  device?: Device | "auto";
  /** The largest side of a tile in px of the input; 384, or 256 where the device has little memory. */
  tile?: number;
  /** Threads of wasm; as many as the device has, 8 at most, where none is given. More than one needs isolation. */
  threads?: number;
}

/** What was made, and by what. */
export interface Details extends Omit<Made, "result" | "preview"> {}

/** How the file is written. */
export interface FileOptions extends Options {
  /** PNG where none is given. JPEG and WebP are written through a canvas, so the whole result lies in memory. */
  type?: FileType;
  /** Of JPEG and WebP, 0 to 1; 0.92 where none is given. */
  quality?: number;
  /** Have a smaller copy made of a result with more pixels than this, so that nobody must decode all of it to show it. */
  preview?: number;
}

/** A result as a file. */
export interface Upscaled extends Details {
  blob: Blob;
  /** The smaller copy, if one was asked for and the result is larger. */
  preview?: ImageBitmap;
}

/** A result as pixels. */
export interface UpscaledPixels extends Details {
  image: ImageData;
}

const QUALITY = 0.92;
const TILE = 384;
const SMALL_TILE = 256;
const LITTLE_MEMORY = 4;
const TYPES: readonly FileType[] = ["image/png", "image/jpeg", "image/webp"];
const DEVICES: readonly (Device | "auto")[] = ["auto", "webgpu", "wasm"];

interface Job {
  readonly request: Request;
  readonly options: Options;
  readonly resolve: (made: Made) => void;
  readonly reject: (reason: unknown) => void;
  stop?: () => void;
}

let worker: Worker | undefined;
let running: Job | undefined;
let count = 0;
const waiting: Job[] = [];

/**
 * Make a picture larger in a worker and return it as a file. A PNG is written band by band, so that memory stays bounded.
 *
 * A `Blob` is decoded as the browser shows it: upright as its EXIF says, in sRGB. Pictures wait for each other.
 *
 * @throws UpscaleError the source, the scale or the model is not allowed; the message says what is.
 * @throws DOMException `AbortError`, or the signal's own reason.
 */
export async function upscale(source: Source, options: FileOptions = {}): Promise<Upscaled> {
  const type = options.type ?? "image/png";
  if (!TYPES.includes(type)) throw new UpscaleError(`No ${type} files are written. Allowed: ${listing(TYPES)}.`);
  const { result, ...details } = await queue(source, options, { output: type, quality: options.quality, preview: options.preview });
  return { ...details, blob: result as Blob };
}

/** Like {@link upscale}, for pixels: the whole result lies in memory, four bytes a pixel. */
export async function upscaleToPixels(source: Source, options: Options = {}): Promise<UpscaledPixels> {
  const { result, preview: _, ...details } = await queue(source, options, { output: "pixels" });
  return { ...details, image: result as ImageData };
}

/** End the worker and free its memory, unless it is at work. The next call starts another. */
export function release(): void {
  if (!running) end();
}

/** Whether a GPU would compute: what `device: "auto"` takes. */
export async function gpuAnswers(): Promise<boolean> {
  return (await chooseDevice("auto")) === "webgpu";
}

interface Wanted {
  readonly output: Request["output"];
  readonly quality?: number;
  readonly preview?: number;
}

function queue(source: Source, options: Options, wanted: Wanted): Promise<Made> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = checked(source, options, wanted);
    const job: Job = { request, options, resolve, reject };
    if (signal) {
      const abort = (): void => cancel(job, signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      job.stop = () => signal.removeEventListener("abort", abort);
    }
    waiting.push(job);
    next();
  });
}

function checked(source: Source, options: Options, wanted: Wanted): Request {
  if (!(source instanceof Blob || source instanceof ImageData || source instanceof ImageBitmap)) {
    throw new UpscaleError("This cannot be upscaled. Give a Blob or File, an ImageBitmap or ImageData.");
  }
  const model = findModel(options.model, options.scale);
  const memory = (navigator as { deviceMemory?: number }).deviceMemory ?? LITTLE_MEMORY;
  const tile = options.tile ?? (memory < LITTLE_MEMORY ? SMALL_TILE : TILE);
  const least = 2 * Math.ceil(model.margin / model.stride) * model.stride + model.stride;
  if (!Number.isInteger(tile) || tile < Math.max(least, model.minSide)) {
    throw new UpscaleError(`A tile of ${tile} px was asked for. ${model.name} takes whole numbers from ${least}.`);
  }
  const { device = "auto", threads } = options;
  if (!DEVICES.includes(device)) throw new UpscaleError(`There is no device '${device}'. There are: ${listing(DEVICES, "and")}.`);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
    throw new UpscaleError(`${threads} threads were asked for. Allowed: whole numbers from 1.`);
  }
  const { quality = QUALITY } = wanted;
  if (!(quality >= 0 && quality <= 1)) throw new UpscaleError(`Quality ${quality} is out of range. Allowed: 0 to 1.`);
  return {
    id: ++count,
    source,
    family: model.family,
    scale: model.scale,
    device,
    tile,
    threads,
    output: wanted.output,
    quality,
    preview: wanted.preview,
  };
}

function next(): void {
  if (running) return;
  running = waiting.shift();
  if (!running) return;
  worker ??= start();
  worker.postMessage(running.request);
}

function start(): Worker {
  const started = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  started.onmessage = ({ data }: MessageEvent<Answer>) => {
    if (running?.request.id !== data.id) return;
    if (data.kind === "progress") running.options.onProgress?.(data.share);
    else if (data.kind === "done") finish((job) => job.resolve(data.made));
    else {
      // a runtime that failed once may fail again: the next picture gets a fresh one
      if (!data.expected) end();
      finish((job) => job.reject(data.expected ? new UpscaleError(data.message) : new Error(data.message)));
    }
  };
  started.onerror = (event) => {
    event.preventDefault();
    end();
    finish((job) => job.reject(new UpscaleError(`The worker could not run: ${event.message || "its file did not load"}.`)));
  };
  return started;
}

function finish(settle: (job: Job) => void): void {
  const job = running;
  running = undefined;
  job?.stop?.();
  if (job) settle(job);
  next();
}

function cancel(job: Job, reason: unknown): void {
  const place = waiting.indexOf(job);
  if (place >= 0) waiting.splice(place, 1);
  if (running === job) {
    // a tile takes up to seconds, in which a worker hears nothing
    end();
    finish(() => job.reject(reason));
  } else {
    job.stop?.();
    job.reject(reason);
  }
}

function end(): void {
  worker?.terminate();
  worker = undefined;
}
