// Asks the worker; one promise a pair.

let worker, waiting = new Map(), number = 0;

function open() {
  worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => {
    const asked = waiting.get(data.key);
    if (!asked) return;
    if (data.share !== undefined) return asked.told(data.share);
    waiting.delete(data.key);
    if (data.error) asked.reject(new Error(data.error));
    else asked.resolve({ ...data.result, threads: data.threads });
  });
  worker.addEventListener("error", (event) => stop(event.message || "the network could not be loaded"));
}

/** Fuses two files; resolves to `{blob, scores, width, height, seconds, threads}`. */
export function fuse(ir, vis, model, told = () => {}) {
  if (!worker) open();
  const key = ++number;
  return new Promise((resolve, reject) => {
    waiting.set(key, { resolve, reject, told });
    worker.postMessage({ key, ir, vis, model });
  });
}

/** Ends what runs; the promises of it are rejected with the reason. */
export function stop(reason) {
  worker?.terminate();
  worker = undefined;
  const asked = [...waiting.values()];
  waiting = new Map();
  asked.forEach(({ reject }) => reject(new Error(reason)));
}
