/** What the page's thread and the worker tell each other. */

import type { Source } from "./decode.js";

/** What computes. */
export type Device = "webgpu" | "wasm";

/** What files are written. */
export type FileType = "image/png" | "image/jpeg" | "image/webp";

/** To the worker: one picture. */
export interface Request {
  readonly id: number;
  readonly source: Source;
  readonly family: string;
  readonly scale: number;
  readonly device: Device | "auto";
  readonly tile: number;
  readonly threads?: number;
  readonly output: FileType | "pixels";
  /** Of JPEG and WebP, 0 to 1. */
  readonly quality: number;
  /** The most pixels of a smaller copy. */
  readonly preview?: number;
}

/** What is made of one picture. */
export interface Made {
  readonly width: number;
  readonly height: number;
  readonly model: string;
  readonly device: Device;
  readonly threads: number;
  /** Seconds from the decoded picture to the finished result, without loading the model. */
  readonly seconds: number;
  /** Sentences about what the result lacks of its input, and about what ran otherwise than asked. */
  readonly notes: readonly string[];
  readonly result: Blob | ImageData;
  /** A smaller copy, if one was asked for and the result is larger. */
  readonly preview?: ImageBitmap;
}

/** From the worker. */
export type Answer =
  | { readonly id: number; readonly kind: "progress"; readonly share: number }
  | { readonly id: number; readonly kind: "done"; readonly made: Made }
  | { readonly id: number; readonly kind: "failed"; readonly message: string; readonly expected: boolean };
