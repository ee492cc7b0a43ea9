/** Cutting a picture into tiles: the rules of `rlfn.inference.tiling`, number for number. */

import { UpscaleError } from "./errors.js";

/** One axis of a tile, in px of the input: it reads [start, stop) and is responsible for [coreStart, coreStop). */
export interface Span {
  readonly start: number;
  readonly stop: number;
  readonly coreStart: number;
  readonly coreStop: number;
}

/**
 * Cut an axis into overlapping spans of at most `tile` px whose cores cover it exactly once.
 *
 * All spans but the last are equally long, so an engine prepares itself for at most four shapes of tile.
 */
export function spans(length: number, tile: number, margin: number, stride: number): Span[] {
  if (length <= tile) return [{ start: 0, stop: length, coreStart: 0, coreStop: length }];
  margin = Math.ceil(margin / stride) * stride;
  const room = Math.floor((tile - 2 * margin) / stride) * stride;
  if (room < stride) {
    throw new UpscaleError(
      `Tiles of ${tile} px leave no room between margins of ${margin} px. Use at least ${2 * margin + stride} px.`,
    );
  }
  const inner = length - 2 * margin;
  const step = Math.ceil(inner / Math.ceil(inner / room) / stride) * stride;
  const count = Math.ceil(inner / step);
  return Array.from({ length: count }, (_, number) => {
    const start = number * step;
    const last = number === count - 1;
    const stop = last ? length : start + step + 2 * margin;
    return { start, stop, coreStart: number ? start + margin : 0, coreStop: last ? length : stop - margin };
  });
}
