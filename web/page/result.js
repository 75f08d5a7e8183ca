// What is shown of a result: the picture beside its sources, and its scores.

import { showPictures } from "./compare.js";

const get = (id) => document.getElementById(id);

/** Shows a pair and its result. */
export function show({ stem, ir, vis }, { blob, scores, width, height, seconds, threads }) {
  showPictures({ ir, vis, fused: blob }, `${stem}.png`);
  get("result-title").textContent = stem === "fused" ? "Result" : `Result: ${stem}`;
  const text = Object.entries(scores).map(([name, value]) => `${name} ${value.toFixed(3)}`).join(", ");
  get("facts").textContent =
    `${width}x${height}, ${text}; ${seconds.toFixed(2)} s with ${threads} thread${threads > 1 ? "s" : ""}`;
}
