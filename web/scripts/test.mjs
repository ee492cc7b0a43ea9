// Bundles the tests and runs them with node's own runner. Arguments are names of test files.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";
import { common } from "./bundle.mjs";

const named = process.argv.slice(2);
const tests = readdirSync("tests").filter((name) => name.endsWith(".test.ts") && (!named.length || named.some((part) => name.includes(part))));
const folder = "build-tests";
rmSync(folder, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: tests.map((name) => `tests/${name}`),
  outdir: folder,
  platform: "node",
  packages: "external",
  sourcemap: "inline",
});
const files = tests.map((name) => `${folder}/${name.replace(/ts$/, "js")}`);
const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" });
rmSync(folder, { recursive: true, force: true });
process.exit(status ?? 1);
