// Which files belong together.

const stem = (file) => file.name.replace(/\.[^.]*$/, "").normalize("NFC");
const isPicture = (file) => /\.(png|jpe?g|webp|tiff?|bmp)$/i.test(file.name);

/** Pairs `{stem, ir, vis}` in the order of their names, and a line about each file that was left out.
 *
 * One file on each side is a pair whatever the names are; of several, those of one stem belong together. */
export function pair(irs, visibles) {
  if (irs.length === 1 && visibles.length === 1) return { pairs: [{ stem: "fused", ir: irs[0], vis: visibles[0] }], left: [] };
  const left = [];
  const [one, two] = [irs, visibles].map((files) => byStem(files.filter(isPicture), left));
  const pairs = [];
  for (const [key, ir] of one) {
    if (two.has(key)) pairs.push({ stem: key, ir, vis: two.get(key) });
    else left.push(`${ir.name}: no visible picture ${key}`);
  }
  for (const [key, vis] of two) if (!one.has(key)) left.push(`${vis.name}: no infrared picture ${key}`);
  return { pairs: pairs.sort((a, b) => (a.stem < b.stem ? -1 : 1)), left };
}

function byStem(files, left) {
  const found = new Map(), doubled = new Set();
  for (const file of files) {
    const key = stem(file);
    if (found.has(key)) doubled.add(key);
    found.set(key, file);
  }
  for (const key of doubled) {
    left.push(`several files of one side are called ${key}; keep one of them`);
    found.delete(key);
  }
  return found;
}
