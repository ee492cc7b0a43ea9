/** Transparency without fringes (`rlfn.images.alpha`). */

const TRUST = 8;

/**
 * Replace the colour of transparent pixels by that of their visible surroundings, in place (a pull-push pyramid).
 *
 * @param bytes RGBA, not premultiplied. Its alpha and the colour of visible pixels stay.
 */
export function fillTransparent(bytes: Uint8ClampedArray | Uint8Array, width: number, height: number): void {
  const pixels = width * height;
  const weight = new Float32Array(pixels);
  const colour = new Float32Array(pixels * 3);
  let seen = false;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const alpha = bytes[pixel * 4 + 3];
    seen ||= alpha > 0;
    weight[pixel] = Math.min(alpha * (TRUST / 255), 1);
    for (let channel = 0; channel < 3; channel++) colour[pixel * 3 + channel] = bytes[pixel * 4 + channel];
  }
  if (!seen) return;
  const filled = fill(colour, weight, width, height);
  for (let pixel = 0; pixel < pixels; pixel++) {
    if (weight[pixel] === 1) continue;
    for (let channel = 0; channel < 3; channel++) bytes[pixel * 4 + channel] = Math.round(filled[pixel * 3 + channel]);
  }
}

function fill(colour: Float32Array, weight: Float32Array, width: number, height: number): Float32Array {
  if ((width === 1 && height === 1) || weight.every((value) => value >= 1)) return colour;
  const wide = (width + 1) >> 1;
  const high = (height + 1) >> 1;
  const total = new Float32Array(wide * high);
  const mean = new Float32Array(wide * high * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = row * width + column;
      const to = (row >> 1) * wide + (column >> 1);
      total[to] += weight[from];
      for (let channel = 0; channel < 3; channel++) mean[to * 3 + channel] += colour[from * 3 + channel] * weight[from];
    }
  }
  for (let pixel = 0; pixel < total.length; pixel++) {
    const least = Math.max(total[pixel], 1e-12);
    for (let channel = 0; channel < 3; channel++) mean[pixel * 3 + channel] /= least;
    total[pixel] = Math.min(total[pixel], 1);
  }
  const coarse = fill(mean, total, wide, high);
  const blended = new Float32Array(colour.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const here = row * width + column;
      const from = (row >> 1) * wide + (column >> 1);
      const own = weight[here];
      for (let channel = 0; channel < 3; channel++) {
        blended[here * 3 + channel] = own * colour[here * 3 + channel] + (1 - own) * coarse[from * 3 + channel];
      }
    }
  }
  return blended;
}

/**
 * Keep upscaled alpha within the range of each pixel's 3x3 neighbours in the input, in place.
 *
 * @param upscaled alpha of the rows [top, bottom) of the input, `scale` times as large in both directions.
 * @param alpha the whole input's alpha, row by row.
 */
export function limitAlpha(
  upscaled: Uint8Array,
  alpha: Uint8Array,
  width: number,
  top: number,
  bottom: number,
  scale: number,
): void {
  const height = alpha.length / width;
  for (let row = top; row < bottom; row++) {
    for (let column = 0; column < width; column++) {
      let low = 255;
      let high = 0;
      for (let near = Math.max(row - 1, 0); near <= Math.min(row + 1, height - 1); near++) {
        for (let beside = Math.max(column - 1, 0); beside <= Math.min(column + 1, width - 1); beside++) {
          const value = alpha[near * width + beside];
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
      for (let line = (row - top) * scale; line < (row - top + 1) * scale; line++) {
        for (let place = line * width * scale + column * scale, end = place + scale; place < end; place++) {
          upscaled[place] = Math.min(Math.max(upscaled[place], low), high);
        }
      }
    }
  }
}
