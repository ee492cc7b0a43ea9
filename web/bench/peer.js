// UpscalerJS as its documentation runs it, its models served from here.
import * as tf from "@tensorflow/tfjs";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import defaultModel from "@upscalerjs/default-model";
import slim2 from "@upscalerjs/esrgan-slim/2x";
import slim4 from "@upscalerjs/esrgan-slim/4x";
import Upscaler from "upscaler";

const MODELS = {
  "default-model": [defaultModel, "default-model/models/model.json"],
  "esrgan-slim x2": [slim2, "esrgan-slim/models/x2/model.json"],
  "esrgan-slim x4": [slim4, "esrgan-slim/models/x4/model.json"],
};
const loaded = {};

window.useBackend = async (name, threads) => {
  setWasmPaths("./");
  setThreadsCount(threads);
  await tf.setBackend(name);
  await tf.ready();
  return tf.getBackend();
};

/** Upscale an ImageData; return its seconds, and the pixels as RGB bytes. */
window.peer = async (name, image) => {
  const [model, path] = MODELS[name];
  const given = typeof model === "function" ? model(tf) : model;
  loaded[name] ??= new Upscaler({ model: { ...given, path: `./${path}` } });
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  await loaded[name].getModel();
  const begin = performance.now();
  const tensor = await loaded[name].upscale(canvas, { output: "tensor" });
  const values = await tensor.data();
  const seconds = (performance.now() - begin) / 1000;
  const [height, width] = tensor.shape.slice(-3, -1);
  tensor.dispose();
  const bytes = new Uint8ClampedArray(width * height * 3);
  bytes.set(values);
  return { seconds, width, height, bytes };
};
