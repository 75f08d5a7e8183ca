// The result and its sources, with a slider between them; shared with the page that needs no server.

const get = (id) => document.getElementById(id);
const views = () => [...document.getElementsByName("view")];
let urls = {};

function setCut(percent) {
  get("compare").style.setProperty("--cut", `${percent}%`);
  get("slider").value = percent;
}

function showView() {
  const view = views().find((radio) => radio.checked).value;
  get("compare").classList.toggle("alone", view === "none");
  if (urls[view]) get("source-img").src = urls[view];
}

/** Makes slider, pointer and choice of source work. */
export function setUpCompare() {
  const compare = get("compare");
  const follow = (event) => {
    const box = compare.getBoundingClientRect();
    setCut(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100)));
  };
  compare.addEventListener("pointerdown", (event) => { compare.setPointerCapture(event.pointerId); follow(event); });
  compare.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  get("slider").addEventListener("input", (event) => setCut(event.target.value));
  for (const radio of views()) radio.addEventListener("change", showView);
}

/** Shows the blobs `ir`, `vis` and `fused`, the last also as what is downloaded; a source that is not given cannot be chosen. */
export function showPictures(blobs, name) {
  Object.values(urls).forEach((url) => URL.revokeObjectURL(url));
  urls = Object.fromEntries(Object.entries(blobs).map(([side, blob]) => [side, URL.createObjectURL(blob)]));
  get("fused-img").src = get("download").href = urls.fused;
  get("download").download = name;
  for (const radio of views()) radio.disabled = radio.value !== "none" && !urls[radio.value];
  const chosen = views().find((radio) => radio.checked);
  if (chosen.disabled) (views().find((radio) => !radio.disabled) || chosen).checked = true;
  get("result").hidden = false;
  showView();
}
