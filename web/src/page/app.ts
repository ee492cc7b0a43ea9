/** The page's backend: pictures are made larger on this device. The page itself is the server's (src/rlfn/serve/page). */

import { startPage } from "../../../src/rlfn/serve/page/page.js";
import { FAMILIES, scalesOf, upscale } from "../upscale.js";
import { keepOffline } from "./offline.js";

const ABOUT: Record<string, string> = {
  "rlfn-xs": "Sharp and quick, for clean pictures.",
  "rlfn-s": "The sharpest, for clean pictures; takes about five times as long.",
  "rlfn-xxs-photo": "The quickest. Removes noise and traces of compression too.",
};

const FORMATS = [
  { name: "jpeg", title: "JPEG", suffix: ".jpg", lossy: true, quality: 92 },
  { name: "webp", title: "WebP", suffix: ".webp", lossy: true, quality: 92 },
];

/** So many pixels are shown of a result; a larger one is shown smaller. */
const SHOWN = 24_000_000;

interface Chosen {
  scale?: number;
  model?: string;
  format?: "jpeg" | "webp";
  quality?: number;
}

interface Told {
  signal: AbortSignal;
  onState(state: { stage: "waiting" | "running"; share: number; ahead: number }): void;
}

const backend = {
  async offer() {
    return {
      families: FAMILIES.map((name) => ({ name, scales: scalesOf(name), about: ABOUT[name] ?? "" })),
      formats: FORMATS,
      atOnce: 1,
    };
  },

  async run(file: File, chosen: Chosen, { signal, onState }: Told) {
    onState({ stage: "running", share: 0, ahead: 0 });
    const format = chosen.format ?? "png";
    const made = await upscale(file, {
      scale: chosen.scale,
      model: chosen.model,
      type: `image/${format}`,
      quality: (chosen.quality ?? 92) / 100,
      preview: SHOWN,
      signal,
      onProgress: (share) => onState({ stage: "running", share, ahead: 0 }),
    });
    return {
      blob: made.blob,
      preview: made.preview,
      format,
      width: made.width,
      height: made.height,
      facts: [made.model, where(made.device, made.threads), `${made.seconds.toFixed(made.seconds < 10 ? 1 : 0)} s`],
      warnings: [...made.notes],
    };
  },
};

function where(device: string, threads: number): string {
  if (device === "webgpu") return "GPU";
  return threads === 1 ? "processor, 1 thread" : `processor, ${threads} threads`;
}

startPage(backend);
void keepOffline(document.getElementById("offline")!);
