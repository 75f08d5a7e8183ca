// The page: two files in, the fused picture and its sources side by side.

import { setUpCompare, showPictures } from "./compare.js";

const get = (id) => document.getElementById(id);
const form = get("form");
const sides = ["ir", "vis"];

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

async function reason(response) {
  try {
    return String((await response.json()).detail);
  } catch {
    return `the server answered with status ${response.status}`;
  }
}

function chosen() {
  const data = new FormData(form);
  for (const side of sides) if (!get(side).files.length) data.delete(side);
  return data;
}

const send = (data) => fetch("fuse", { method: "POST", body: data });

async function fuse(event) {
  event.preventDefault();
  const data = chosen();
  if (!data.has("ir")) return say("Choose an infrared picture, an MRI or a thermal camera's file first", true);
  busy(true);
  try {
    const response = await send(data);
    if (!response.ok) return say(await reason(response), true);
    await show(await response.blob(), response.headers, data);
    say("Done");
  } catch {
    say("The server cannot be reached. Is it still running?", true);
  } finally {
    busy(false);
  }
}

let ticking;

function busy(on) {
  get("go").disabled = on;
  get("progress").hidden = !on;
  clearInterval(ticking);
  if (!on) return;
  const start = Date.now();
  const tell = () => say(`Fusing … ${Math.round((Date.now() - start) / 1000)} s`);
  tell();
  ticking = setInterval(tell, 1000);
}

/** A source as it was laid on the other, with its range: what the slider compares. */
async function laid(side, data) {
  const asked = new FormData();
  for (const [name, value] of data) asked.set(name, value);
  asked.set("show", side);
  const response = await send(asked);
  return response.ok ? response.blob() : data.get(side);
}

async function show(blob, headers, data) {
  const [ir, vis] = await Promise.all(sides.map((side) => laid(side, data)));
  const suffix = { png: "png", jpeg: "jpg", tiff: "tif" }[data.get("format")];
  get("facts").textContent = `${headers.get("x-cmmdl-model")}, ${headers.get("x-cmmdl-seconds")} s, ${size(blob.size)}`;
  const notes = (headers.get("x-cmmdl-notes") || "").split(" | ").filter(Boolean);
  get("notes").replaceChildren(...notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  showPictures({ ...(ir && { ir }), ...(vis && { vis }), fused: blob }, `fused.${suffix}`);
  get("result").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

function cannotShow() {
  get("notes").append(Object.assign(document.createElement("li"), { textContent: "This browser cannot show the result (a TIFF, for example); download it." }));
}

async function start() {
  get("fused-img").addEventListener("error", cannotShow);
  sides.forEach(setUpDrop);
  setUpCompare();
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
