/**
 * ESA's matrices: what tells a tile where it lies in its picture (`rlfn.models.grid`).
 *
 * ESA pools on a grid of 6 px and stretches the pooled map over the picture by a ratio that depends on the picture's
 * size. Two matrices an axis, made from the whole picture's coordinates, make a tile compute its part of that.
 */

/** The matrices along one axis, row by row: `interpolate` (length, pooled) and `pad` (pooled + 2, pooled). */
export interface AxisGrid {
  readonly length: number;
  readonly pooled: number;
  readonly interpolate: Float32Array;
  readonly pad: Float32Array;
}

/** ESA's pooled map has one sample for every 6 px. */
export const GRID_STRIDE = 6;

/** How many samples ESA's pooled map has for `length` px (at least 15). */
export function pooledLength(length: number): number {
  return Math.floor((Math.floor((length - 3) / 2) + 1 - 7) / 3) + 1;
}

/** ESA's matrices for the pixels [start, stop) of an axis of `length` px; `start` is a multiple of 6. */
export function axisGrid(start: number, stop: number, length: number): AxisGrid {
  const whole = pooledLength(length);
  const here = pooledLength(stop - start);
  const offset = Math.floor(start / GRID_STRIDE);
  const lines = stop - start;
  const interpolate = new Float32Array(lines * here);
  const place = (line: number, sample: number, weight: number): void => {
    interpolate[line * here + clamp(sample - offset, 0, here - 1)] += weight;
  };
  for (let line = 0; line < lines; line++) {
    const source = clamp((start + line + 0.5) * (whole / length) - 0.5, 0, whole - 1);
    const low = Math.min(Math.trunc(source), whole - 1);
    const part = Math.fround(source - low);
    place(line, low, Math.fround(1 - part));
    place(line, Math.min(low + 1, whole - 1), part);
  }
  const pad = new Float32Array((here + 2) * here);
  for (let sample = 0; sample < here; sample++) pad[(sample + 1) * here + sample] = 1;
  // zeros where the picture ends, its nearest value where it goes on
  pad[0] = start > 0 ? 1 : 0;
  pad[(here + 1) * here + here - 1] = stop < length ? 1 : 0;
  return { length: lines, pooled: here, interpolate, pad };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
