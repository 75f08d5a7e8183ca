// Puts the page together: node build.mjs [FOLDER], by default dist. Pinned packages, no bundler.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] || join(here, "dist"));
const packages = join(here, "node_modules"), source = join(here, "../src/cmmdl");

const COPIES = {
  [join(packages, "onnxruntime-web/dist/ort.wasm.min.mjs")]: "ort/ort.wasm.min.mjs",
  [join(packages, "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs")]: "ort/ort-wasm-simd-threaded.mjs",
  [join(packages, "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm")]: "ort/ort-wasm-simd-threaded.wasm",
  [join(packages, "fflate/esm/browser.js")]: "fflate.js",
  [join(source, "weights/trained/cmmdl-rt.onnx")]: "models/cmmdl-rt.onnx",
  [join(source, "weights/trained/cmmdl-mif-rt.onnx")]: "models/cmmdl-mif-rt.onnx",
  [join(source, "serve/page/page.css")]: "page.css",
  [join(source, "serve/page/compare.js")]: "compare.js",
  [join(source, "serve/page/icon.svg")]: "icon.svg",
};

function list(folder) {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return found.map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/")).sort();
}

function licences() {
  const own = readFileSync(join(here, "../LICENSE"), "utf8");
  const others = ["onnxruntime-web", "fflate"].map((name) => {
    const { version, license } = JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8"));
    const text = readdirSync(join(packages, name)).find((file) => /^licen[cs]e/i.test(file));
    return `${name} ${version} (${license})\n\n${text ? readFileSync(join(packages, name, text), "utf8") : ""}`;
  });
  return [`CMMDL\n\n${own}`, ...others].join("\n\n----\n\n");
}

rmSync(out, { recursive: true, force: true });
cpSync(join(here, "page"), out, { recursive: true });
for (const folder of ["ort", "models"]) mkdirSync(join(out, folder));
for (const [from, to] of Object.entries(COPIES)) cpSync(from, join(out, to));
writeFileSync(join(out, "licences.txt"), licences());

const files = list(out).filter((file) => file !== "sw.js");
const hash = createHash("sha256");
for (const file of list(out)) hash.update(file).update(readFileSync(join(out, file)));
const worker = readFileSync(join(out, "sw.js"), "utf8")
  .replace("/* files */ []", JSON.stringify(["./", ...files]))
  .replace('/* version */ ""', JSON.stringify(hash.digest("hex").slice(0, 16)));
writeFileSync(join(out, "sw.js"), worker);

const contents = list(out).map((file) => readFileSync(join(out, file)));
const total = (sizes) => (sizes.reduce((sum, size) => sum + size, 0) / 1e6).toFixed(1);
console.log(
  `${relative(process.cwd(), out) || "."}: ${contents.length} files, ${total(contents.map((data) => data.length))} MB, ` +
    `${total(contents.map((data) => gzipSync(data, { level: 9 }).length))} MB compressed`,
);
