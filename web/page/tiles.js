// A large picture in tiles that give the same as the whole picture: the networks see only so far.

/** The side of the blocks in which the networks take their spectra; tiles begin at multiples of it. */
const GRID = 8;
/** The reach of the networks, 88 pixels, in whole blocks. */
const REACH = 88;
/** Pixels of a side that are kept of a tile; with the reach around it, a tile needs about 0.3 GB. */
const CORE = 576;

/** Spans `{start, end, from, to}` along one side: a tile is start..end, of which from..to is kept. */
export function spans(length, core = CORE) {
  if (length <= core + 2 * REACH) return [{ start: 0, end: length, from: 0, to: length }];
  const found = [];
  for (let from = 0; from < length; from += core) {
    const to = Math.min(length, from + core);
    found.push({ start: Math.max(0, from - REACH), end: Math.min(length, to + REACH), from, to });
  }
  return found;
}

/** Fuses two lumas with `fuse(ir, vis, width, height)`, whole or in tiles; `told(share)` hears how far it is. */
export async function tiled(fuse, ir, vis, width, height, told = () => {}) {
  const rows = spans(height), columns = spans(width);
  if (rows.length * columns.length === 1) return fuse(ir, vis, width, height);
  const fused = new Float32Array(ir.length);
  let done = 0;
  for (const row of rows) {
    for (const column of columns) {
      const [one, two] = [ir, vis].map((luma) => cut(luma, width, row, column));
      const piece = await fuse(one, two, column.end - column.start, row.end - row.start);
      paste(fused, width, piece, row, column);
      told(++done / (rows.length * columns.length));
    }
  }
  return fused;
}

function cut(luma, width, row, column) {
  const side = column.end - column.start, piece = new Float32Array(side * (row.end - row.start));
  for (let y = row.start; y < row.end; y++) {
    piece.set(luma.subarray(y * width + column.start, y * width + column.end), (y - row.start) * side);
  }
  return piece;
}

function paste(fused, width, piece, row, column) {
  const side = column.end - column.start;
  for (let y = row.from; y < row.to; y++) {
    const at = (y - row.start) * side - column.start;
    fused.set(piece.subarray(at + column.from, at + column.to), y * width + column.from);
  }
}

console.assert(REACH % GRID === 0 && CORE % GRID === 0);
