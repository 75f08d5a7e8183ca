// The page: files in, results and their scores out.

import { setUpCompare } from "./compare.js";
import { given, setUpDrops, swap } from "./drops.js";
import { zip } from "./fflate.js";
import { pair } from "./pairing.js";
import { show } from "./result.js";
import { fuse, stop } from "./work.js";

const get = (id) => document.getElementById(id);
let results = new Map();

function say(text, bad = false) {
  get("status").textContent = text;
  get("status").classList.toggle("bad", bad);
}

function busy(on) {
  get("go").disabled = on;
  get("swap").disabled = on;
  get("stop").hidden = get("progress").hidden = !on;
}

async function fuseAll(event) {
  event.preventDefault();
  const { pairs, left } = pair(given("ir"), given("vis"));
  get("list").hidden = get("result").hidden = true;
  get("archive").disabled = true;
  results = new Map();
  if (!pairs.length) return say(left[0] || "Choose pictures for both sides", true);
  const several = pairs.length > 1 || left.length > 0;
  get("rows").replaceChildren();
  get("left").replaceChildren(...left.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  get("list").hidden = !several;
  busy(true);
  let failed = 0, stopped = false, reason = "";
  for (const [number, one] of pairs.entries()) {
    say(several ? `Fusing ${number + 1} of ${pairs.length} …` : "Fusing …");
    const told = (share) => { get("progress").value = (number + share) / pairs.length; };
    told(0);
    try {
      const result = await fuse(one.ir, one.vis, get("model").value, told);
      results.set(one.stem, result);
      if (several) addRow(one, result);
      if (results.size === 1) show(one, result);
    } catch (error) {
      reason = error.message;
      stopped = reason === "stopped";
      if (stopped) break;
      failed++;
      if (several) addRow(one, null, reason);
    }
  }
  busy(false);
  get("archive").disabled = !results.size;
  if (!several) return say(results.size ? "Done" : reason, !results.size);
  const rest = [failed && `${failed} failed`, left.length && `${left.length} left out`, stopped && "stopped"].filter(Boolean);
  say([`${results.size} of ${pairs.length} fused`, ...rest].join(", "), rest.length > 0);
}

function addRow(one, result, reason) {
  const row = get("rows").insertRow();
  row.insertCell().textContent = one.stem;
  if (!result) {
    const cell = row.insertCell();
    cell.colSpan = 4;
    cell.className = "bad";
    cell.textContent = reason;
    return;
  }
  for (const name of ["EN", "SD", "SF"]) row.insertCell().textContent = result.scores[name].toFixed(3);
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Show" });
  button.addEventListener("click", () => { show(one, result); get("result").scrollIntoView({ behavior: "smooth" }); });
  row.insertCell().append(button);
}

async function download() {
  const files = {};
  for (const [stem, { blob }] of results) files[`${stem}.png`] = [new Uint8Array(await blob.arrayBuffer()), { level: 0 }];
  zip(files, { consume: true }, (error, data) => {
    if (error) return say(`The archive could not be made: ${error.message}`, true);
    const url = URL.createObjectURL(new Blob([data], { type: "application/zip" }));
    Object.assign(document.createElement("a"), { href: url, download: "fused.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  });
}

async function keepForOffline() {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("sw.js", { type: "module" });
  await navigator.serviceWorker.ready;
  get("offline").textContent = "It works without a network from now on.";
}

setUpDrops();
setUpCompare();
get("form").addEventListener("submit", fuseAll);
get("swap").addEventListener("click", swap);
get("stop").addEventListener("click", () => stop("stopped"));
get("archive").addEventListener("click", download);
keepForOffline().catch(() => { get("offline").textContent = "This browser does not keep it for use without a network."; });
