/** The models beside this module. Their table is made from the package's manifest and graphs when this is built. */

import table from "models:table";
import { listing, UpscaleError } from "./errors.js";

/** One model: a family's weights at one scale, and what the engine must know of its network. */
export interface Model {
  readonly name: string;
  readonly family: string;
  readonly scale: number;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly minSide: number;
  /** Px around a tile's core that make it equal the whole picture. */
  readonly margin: number;
  /** Tile origins are multiples of it. */
  readonly stride: number;
  /** Whether the graph takes the matrices that tell a tile where it lies. */
  readonly takesGrid: boolean;
}

export const MODELS: readonly Model[] = table;

/** The family that is used where none is asked for. */
export const DEFAULT_FAMILY = MODELS[0].family;

/** The families, in the order of the table. */
export const FAMILIES: readonly string[] = [...new Set(MODELS.map((model) => model.family))];

/** The scales of a family, ascending. */
export function scalesOf(family: string): number[] {
  return MODELS.filter((model) => model.family === family)
    .map((model) => model.scale)
    .sort((one, other) => one - other);
}

/** The family's model at a scale; its largest where none is asked for. */
export function findModel(family: string = DEFAULT_FAMILY, scale?: number): Model {
  const scales = scalesOf(family);
  if (!scales.length) {
    throw new UpscaleError(`There is no model '${family}'. There are: ${listing(FAMILIES, "and")}.`);
  }
  const wanted = scale ?? scales[scales.length - 1];
  const found = MODELS.find((model) => model.family === family && model.scale === wanted);
  if (!found) {
    const have = listing(scales.map((value) => `x${value}`));
    throw new UpscaleError(`${family} cannot upscale x${wanted}. It upscales ${have}.`);
  }
  return found;
}
