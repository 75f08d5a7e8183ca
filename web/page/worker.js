// The work, beside the page so that it stays awake: decode, fuse, encode. One pair at a time, in the order asked.

import { compose, isGrey, luma, scores } from "./arithmetic.js";
import * as ort from "./ort/ort.wasm.min.mjs";
import { decode } from "./pictures.js";
import { tiled } from "./tiles.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;

const sessions = new Map();

function session(model) {
  if (!sessions.has(model)) {
    const opened = ort.InferenceSession.create(new URL(`./models/${model}.onnx`, import.meta.url).href);
    opened.catch(() => sessions.delete(model));
    sessions.set(model, opened);
  }
  return sessions.get(model);
}

async function run(model, ir, vis, width, height) {
  const shape = [1, 1, height, width];
  const inputs = { ir: new ort.Tensor("float32", ir, shape), vis: new ort.Tensor("float32", vis, shape) };
  const { fused } = await (await session(model)).run(inputs);
  if (!fused.data.every(Number.isFinite)) throw new Error("the network gave values that are no numbers");
  return fused.data;
}

async function fuse({ ir, vis, model, key }) {
  const one = await decode(ir), two = await decode(vis);
  if (one.width !== two.width || one.height !== two.height) {
    const sizes = `${ir.name} is ${one.width}x${one.height}, ${vis.name} ${two.width}x${two.height}`;
    throw new Error(`${sizes}; bring them to one size and place, or use cmmdl fuse --resize-ir or --align`);
  }
  const { width, height } = two, start = performance.now();
  const tell = (share) => postMessage({ key, share });
  const fused = await tiled(run.bind(null, model), luma(one.rgba), luma(two.rgba), width, height, tell);
  const colour = [two, one].find((picture) => !isGrey(picture.rgba));
  const levels = compose(fused, colour ? colour.rgba : null);
  const seconds = (performance.now() - start) / 1000;
  return { blob: await png(levels, width, height), scores: scores(levels, width, height), width, height, seconds };
}

async function png(levels, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", { alpha: false }).putImageData(new ImageData(levels, width, height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

let last = Promise.resolve();
addEventListener("message", ({ data }) => {
  last = last.then(() => fuse(data)).then(
    (result) => postMessage({ key: data.key, result, threads: ort.env.wasm.numThreads }),
    (error) => postMessage({ key: data.key, error: String(error.message || error) }),
  );
});
