// The result and its sources, with a slider between them.

const get = (id) => document.getElementById(id);
let urls = {};

function setCut(percent) {
  get("compare").style.setProperty("--cut", `${percent}%`);
  get("slider").value = percent;
}

function showView() {
  const view = [...document.getElementsByName("view")].find((radio) => radio.checked).value;
  get("compare").classList.toggle("alone", view === "none");
  if (urls[view]) get("source-img").src = urls[view];
}

export function setUpCompare() {
  const compare = get("compare");
  const follow = (event) => {
    const box = compare.getBoundingClientRect();
    setCut(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100)));
  };
  compare.addEventListener("pointerdown", (event) => { compare.setPointerCapture(event.pointerId); follow(event); });
  compare.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  get("slider").addEventListener("input", (event) => setCut(event.target.value));
  for (const radio of document.getElementsByName("view")) radio.addEventListener("change", showView);
}

/** Shows a pair and its result. */
export function show({ stem, ir, vis }, { blob, scores, width, height, seconds, threads }) {
  Object.values(urls).forEach((url) => URL.revokeObjectURL(url));
  urls = { ir: URL.createObjectURL(ir), vis: URL.createObjectURL(vis), fused: URL.createObjectURL(blob) };
  get("fused-img").src = get("download").href = urls.fused;
  get("download").download = `${stem}.png`;
  get("result-title").textContent = stem === "fused" ? "Result" : `Result: ${stem}`;
  const text = Object.entries(scores).map(([name, value]) => `${name} ${value.toFixed(3)}`).join(", ");
  get("facts").textContent =
    `${width}x${height}, ${text}; ${seconds.toFixed(2)} s with ${threads} thread${threads > 1 ? "s" : ""}`;
  get("result").hidden = false;
  showView();
}
