// Bundles the peers and puts their models and wasm beside them.
import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
await build({ entryPoints: ["peer.js"], outdir: "dist", bundle: true, format: "esm", minify: true, logLevel: "error" });
for (const name of ["default-model", "esrgan-slim"]) cpSync(`node_modules/@upscalerjs/${name}/models`, `dist/${name}/models`, { recursive: true });
for (const kind of ["", "-simd", "-threaded-simd"]) {
  copyFileSync(`node_modules/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm${kind}.wasm`, `dist/tfjs-backend-wasm${kind}.wasm`);
}
writeFileSync("dist/index.html", '<!doctype html><title>peers</title><script type="module" src="peer.js"></script>\n');
