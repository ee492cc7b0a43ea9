/** A smaller copy of a large result, made while its bands pass, so that nobody must decode the whole to show it. */

import type { Band, Making } from "./upscaler.js";

/** A result whose bands pass by, and the copy that they leave. */
export interface Previewed {
  readonly making: Making;
  /** The copy, once the bands are read; undefined where the result itself is small enough. */
  preview(): ImageData | undefined;
}

/** Watch a result for a copy of at most `most` pixels: the mean of squares of whole pixels. */
export function previewed(making: Making, most: number): Previewed {
  const factor = Math.ceil(Math.sqrt((making.width * making.height) / most));
  if (factor <= 1) return { making, preview: () => undefined };
  const copy = new Copy(making, factor);
  return { making: { ...making, bands: copy.watch(making.bands) }, preview: () => copy.image };
}

class Copy {
  readonly image: ImageData;
  private readonly sums: Float64Array;
  private row = 0;

  constructor(
    private readonly making: Making,
    private readonly factor: number,
  ) {
    this.image = new ImageData(Math.ceil(making.width / factor), Math.ceil(making.height / factor));
    this.sums = new Float64Array(this.image.width * making.channels);
  }

  async *watch(bands: AsyncGenerator<Band>): AsyncGenerator<Band> {
    for await (const band of bands) {
      for (let line = 0; line < band.rows; line++) this.add(band.pixels, line);
      yield band;
    }
  }

  private add(pixels: Uint8Array, line: number): void {
    const { width, height, channels } = this.making;
    let place = line * width * channels;
    for (let column = 0; column < width; column++) {
      const to = Math.floor(column / this.factor) * channels;
      for (let channel = 0; channel < channels; channel++) this.sums[to + channel] += pixels[place++];
    }
    this.row += 1;
    if (this.row % this.factor === 0 || this.row === height) this.flush();
  }

  private flush(): void {
    const { width, channels } = this.making;
    const { data } = this.image;
    const rows = ((this.row - 1) % this.factor) + 1;
    let place = Math.floor((this.row - 1) / this.factor) * this.image.width * 4;
    for (let column = 0; column < this.image.width; column++, place += 4) {
      const count = rows * Math.min(this.factor, width - column * this.factor);
      const mean = (channel: number): number => this.sums[column * channels + channel] / count;
      for (let channel = 0; channel < 3; channel++) data[place + channel] = mean(channels < 3 ? 0 : channel);
      data[place + 3] = channels % 2 ? 255 : mean(channels - 1);
    }
    this.sums.fill(0);
  }
}
