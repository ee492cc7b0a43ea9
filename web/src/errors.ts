/** What is refused, in a sentence for the person who asked: what was given, what is allowed, what to do. */
export class UpscaleError extends Error {
  override readonly name = "UpscaleError";
}

/** The values as a sentence lists them: `a`, `a or b`, `a, b or c`. */
export function listing(values: readonly (string | number)[], last = "or"): string {
  const words = values.map(String);
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${last} ${words[words.length - 1]}`;
}
