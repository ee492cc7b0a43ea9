// Builds the static folder: the page, the module with its types, the models and onnxruntime-web's wasm.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { common } from "./bundle.mjs";
import { models, WEIGHTS } from "./models.mjs";
import { html, manifest, SHARED } from "./page.mjs";

const OUT = "dist";
const ORT = "node_modules/onnxruntime-web/dist";
const RUNTIME = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"];

rmSync(OUT, { recursive: true, force: true });
for (const folder of ["models", "runtime"]) mkdirSync(`${OUT}/${folder}`, { recursive: true });

const browser = { ...common, outdir: OUT, platform: "browser", minify: true };
await build({ ...browser, entryPoints: ["src/upscale.ts"] });
await build({
  ...browser,
  entryPoints: ["src/worker.ts"],
  splitting: true, // onnxruntime-web is there for each device, and one of them is loaded
  chunkNames: "runtime/[name]-[hash]",
  conditions: ["onnxruntime-web-use-extern-wasm"],
});
execFileSync(process.execPath, [
  "node_modules/typescript/bin/tsc", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", `${OUT}/types`,
  "--rootDir", "src", "--project", "tsconfig.build.json",
], { stdio: "inherit" });
writeFileSync(`${OUT}/upscale.d.ts`, 'export * from "./types/upscale.js";\n');

for (const model of models()) copyFileSync(new URL(model.file, WEIGHTS), `${OUT}/models/${model.file}`);
for (const name of RUNTIME) {
  for (const kind of ["mjs", "wasm"]) copyFileSync(`${ORT}/${name}.${kind}`, `${OUT}/runtime/${name}.${kind}`);
}

await page();
report();

/** Build the page and its service worker, which must know what else there is. */
async function page() {
  const beside = {
    name: "beside",
    setup: (made) => made.onResolve({ filter: /\/upscale\.js$/ }, () => ({ path: "./upscale.js", external: true })),
  };
  await build({ ...browser, entryPoints: ["src/page/app.ts"], plugins: [...common.plugins, beside] });
  writeFileSync(`${OUT}/index.html`, html());
  writeFileSync(`${OUT}/app.webmanifest`, `${JSON.stringify(manifest)}\n`);
  for (const name of ["style.css", "icon.svg"]) copyFileSync(new URL(name, SHARED), `${OUT}/${name}`);
  const shell = files().filter((name) => !/^(models|types)\/|\.wasm$|\.d\.ts$/.test(name));
  const version = createHash("sha256");
  for (const name of files()) version.update(name).update(readFileSync(`${OUT}/${name}`));
  await build({
    ...browser,
    entryPoints: ["src/page/service-worker.ts"],
    define: {
      SHELL: JSON.stringify(["./", ...shell.filter((name) => name !== "index.html")]),
      VERSION: JSON.stringify(version.digest("hex").slice(0, 16)),
    },
  });
}

function files() {
  return readdirSync(OUT, { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => statSync(`${OUT}/${name}`).isFile())
    .sort();
}

/** Print what a visitor downloads. */
function report() {
  const size = (name) => statSync(`${OUT}/${name}`).size;
  const first = models().at(0);
  const own = files().filter((name) => !/^(models|types)\/|\.wasm$|\.d\.ts$/.test(name));
  const total = own.reduce((sum, name) => sum + size(name), 0);
  console.log(`page and scripts ${kilobytes(total)}, ${first.file} ${kilobytes(first.bytes)}`);
  for (const name of RUNTIME) console.log(`${name}.wasm ${kilobytes(size(`runtime/${name}.wasm`))}`);
}

function kilobytes(bytes) {
  return `${Math.round(bytes / 1000).toLocaleString("en")} kB`;
}
