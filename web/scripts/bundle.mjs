// What the build and the tests share of esbuild's settings.
import { models } from "./models.mjs";

/** Puts the table of models where `models:table` is imported. */
export const table = {
  name: "models:table",
  setup(build) {
    build.onResolve({ filter: /^models:table$/ }, ({ path }) => ({ path, namespace: "models" }));
    build.onLoad({ filter: /.*/, namespace: "models" }, () => ({ contents: JSON.stringify(models()), loader: "json" }));
  },
};

export const common = { bundle: true, format: "esm", target: "es2022", logLevel: "warning", plugins: [table] };
