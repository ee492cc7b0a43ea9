// The models that the page offers: their table, made from the package's manifest and the graphs' own metadata.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const WEIGHTS = new URL("../../src/rlfn/models/weights/", import.meta.url);

// the first is the default
const FAMILIES = ["rlfn-xs", "rlfn-s", "rlfn-xxs-photo"];

/** Return the table's rows; a file whose SHA-256 is not the manifest's is refused. */
export function models() {
  const manifest = JSON.parse(readFileSync(new URL("manifest.json", WEIGHTS), "utf8")).models;
  return FAMILIES.flatMap((family) =>
    Object.entries(manifest)
      .filter(([, entry]) => entry.family === family)
      .map(([name, entry]) => {
        const { file, sha256 } = entry.files.find((row) => row.format === "onnx" && row.precision === "fp32");
        const bytes = readFileSync(new URL(file, WEIGHTS));
        if (createHash("sha256").update(bytes).digest("hex") !== sha256) {
          throw new Error(`${fileURLToPath(new URL(file, WEIGHTS))} is not the file of the manifest`);
        }
        return { name, family, scale: entry.scale, file, bytes: bytes.length, sha256, ...traits(bytes, file) };
      })
      .sort((one, other) => one.scale - other.scale),
  );
}

/** Read what rlfn's runtime must know of a network (rlfn.models.traits) from an ONNX file. */
export function traits(bytes, file) {
  const said = {};
  let takesGrid = false;
  for (const [field, value] of fields(bytes)) {
    if (field === 14) {
      const entry = Object.fromEntries([...fields(value)].map(([key, part]) => [key, Buffer.from(part).toString("utf8")]));
      said[entry[1]] = entry[2];
    }
    if (field === 7) {
      for (const [key, input] of fields(value)) {
        if (key !== 11) continue;
        const name = [...fields(input)].find(([part]) => part === 1);
        takesGrid ||= Buffer.from(name[1]).toString("utf8") === "pad_rows";
      }
    }
  }
  const whole = (name) => {
    if (!/^\d+$/.test(said[name] ?? "")) throw new Error(`${file} does not say its ${name}`);
    return Number(said[name]);
  };
  if (said.value_range !== "255") throw new Error(`${file} takes [0, ${said.value_range}], not [0, 255]`);
  return { minSide: whole("min_side"), margin: whole("margin"), stride: whole("stride"), takesGrid };
}

/** Yield the fields of a protobuf message: numbers, and bytes of those that have a length. */
function* fields(bytes) {
  let place = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[place++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (place < bytes.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) yield [tag >>> 3, varint()];
    else if (kind === 2) {
      const length = varint();
      yield [tag >>> 3, bytes.subarray(place, place + length)];
      place += length;
    } else place += kind === 1 ? 8 : 4;
  }
}
