// The page: two files in, the fused picture and its sources side by side.

const get = (id) => document.getElementById(id);
const form = get("form");
const sides = ["ir", "vis"];
let urls = [];

function showName(side) {
  const file = get(side).files[0];
  const drop = get(`drop-${side}`);
  drop.classList.toggle("full", Boolean(file));
  drop.querySelector(".drop-name").textContent = file ? `${file.name} (${size(file.size)})` : "";
}

function size(bytes) {
  return bytes < 2 ** 20 ? `${Math.max(1, Math.round(bytes / 1024))} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function give(side, file) {
  const transfer = new DataTransfer();
  if (file) transfer.items.add(file);
  get(side).files = transfer.files;
  showName(side);
}

function setUpDrop(side) {
  const drop = get(`drop-${side}`);
  get(side).addEventListener("change", () => showName(side));
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length > 1) sides.forEach((other, number) => give(other, files[number]));
    else give(side, files[0]);
  });
}

function say(text, bad = false) {
  get("status").textContent = text;
  get("status").classList.toggle("bad", bad);
}

function setCut(percent) {
  get("compare").style.setProperty("--cut", `${percent}%`);
  get("slider").value = percent;
}

function setUpSlider() {
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

function showView() {
  const view = [...document.getElementsByName("view")].find((radio) => radio.checked).value;
  get("compare").classList.toggle("alone", view === "none");
  const source = urls.find((one) => one.side === view);
  if (source) get("source-img").src = source.url;
}

function remember(side, blob) {
  urls.push({ side, url: URL.createObjectURL(blob) });
  return urls.at(-1).url;
}

async function reason(response) {
  try {
    return String((await response.json()).detail);
  } catch {
    return `the server answered with status ${response.status}`;
  }
}

async function fuse(event) {
  event.preventDefault();
  const data = new FormData(form);
  for (const side of sides) if (!get(side).files.length) data.delete(side);
  say("Fusing …");
  get("go").disabled = true;
  get("progress").hidden = false;
  try {
    const response = await fetch("fuse", { method: "POST", body: data });
    if (!response.ok) return say(await reason(response), true);
    say("Done");
    show(await response.blob(), response.headers, data);
  } catch {
    say("The server cannot be reached. Is it still running?", true);
  } finally {
    get("go").disabled = false;
    get("progress").hidden = true;
  }
}

function show(blob, headers, data) {
  urls.forEach((one) => URL.revokeObjectURL(one.url));
  urls = [];
  for (const side of sides) if (data.get(side)) remember(side, data.get(side));
  const url = remember("fused", blob);
  get("fused-img").src = url;
  get("download").href = url;
  get("download").download = `fused.${{ png: "png", jpeg: "jpg", tiff: "tif" }[data.get("format")]}`;
  get("facts").textContent = `${headers.get("x-cmmdl-model")}, ${headers.get("x-cmmdl-seconds")} s, ${size(blob.size)}`;
  const notes = (headers.get("x-cmmdl-notes") || "").split(" | ").filter(Boolean);
  get("notes").replaceChildren(...notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  get("result").hidden = false;
  showView();
  get("result").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

function cannotShow(event) {
  if (event.target.id === "source-img") get("compare").classList.add("alone");
  say("This browser cannot show one of the pictures (TIFF and 16 bits belong to the download only).");
}

async function start() {
  for (const id of ["source-img", "fused-img"]) get(id).addEventListener("error", cannotShow);
  sides.forEach(setUpDrop);
  setUpSlider();
  form.addEventListener("submit", fuse);
  get("swap").addEventListener("click", () => {
    const [one, two] = sides.map((side) => get(side).files[0]);
    give("ir", two);
    give("vis", one);
  });
  const models = await (await fetch("models")).json();
  for (const model of models) get("model").add(new Option(`${model.name}: ${model.description}`.slice(0, 90), model.name));
  get("version").textContent = (await (await fetch("health")).json()).version;
}

start();
