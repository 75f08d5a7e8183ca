// The two places where files are dropped or chosen.

const get = (id) => document.getElementById(id);
const files = { ir: [], vis: [] };

/** The files of a side. */
export const given = (side) => files[side];

export function swap() {
  const { ir, vis } = files;
  give("ir", vis);
  give("vis", ir);
}

export function setUpDrops() {
  for (const side of ["ir", "vis"]) {
    for (const id of [side, `${side}-folder`]) {
      get(id).addEventListener("change", ({ target }) => {
        if (target.files.length) give(side, inFolder([...target.files]));
        target.value = "";
      });
    }
    setUpDrop(side);
  }
}

function give(side, list) {
  files[side] = list;
  const drop = get(`drop-${side}`);
  drop.classList.toggle("full", list.length > 0);
  drop.querySelector(".drop-name").textContent = list.length > 1 ? `${list.length} files` : list[0]?.name || "";
}

/** The files of a chosen folder itself, without those of the folders below and hidden ones. */
function inFolder(list) {
  return list.filter((file) => (file.webkitRelativePath || "").split("/").length < 3 && !file.name.startsWith("."));
}

function setUpDrop(side) {
  const drop = get(`drop-${side}`);
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const list = [...event.dataTransfer.files];
    const folder = entries.find((entry) => entry.isDirectory);
    give(side, folder ? await filesOf(folder) : list);
  });
}

async function filesOf(folder) {
  const reader = folder.createReader(), entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    entries.push(...some);
  }
  const plain = entries.filter((entry) => entry.isFile && !entry.name.startsWith("."));
  return Promise.all(plain.map((entry) => new Promise((resolve, reject) => entry.file(resolve, reject))));
}
