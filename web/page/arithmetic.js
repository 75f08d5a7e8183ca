// Levels to luma, luma back to levels, and three scores; the same arithmetic as the Python package's.

const RED = 0.299, GREEN = 0.587, BLUE = 0.114; // ITU-R BT.601

/** Whether red, green and blue of RGBA levels are equal everywhere. */
export function isGrey(rgba) {
  for (let at = 0; at < rgba.length; at += 4) {
    if (rgba[at] !== rgba[at + 1] || rgba[at] !== rgba[at + 2]) return false;
  }
  return true;
}

/** The luma of RGBA levels, in [0, 1]; of a grey picture exactly its grey. */
export function luma(rgba) {
  const grey = isGrey(rgba), values = new Float32Array(rgba.length / 4);
  for (let at = 0, n = 0; n < values.length; at += 4, n++) {
    values[n] = (grey ? rgba[at] : RED * rgba[at] + GREEN * rgba[at + 1] + BLUE * rgba[at + 2]) / 255;
  }
  return values;
}

/** RGBA levels of a fused luma with the chroma of `colour` (RGBA levels, or null for a grey result).
 *
 * Each channel moves by as much as the luma does; where one would leave [0, 1], the chroma of that pixel is scaled down
 * until it fits, which keeps hue and luma. */
export function compose(fused, colour) {
  const levels = new Uint8ClampedArray(4 * fused.length);
  for (let n = 0, at = 0; n < fused.length; n++, at += 4) {
    const y = Math.min(1, Math.max(0, fused[n]));
    levels[at + 3] = 255;
    if (!colour) {
      levels[at] = levels[at + 1] = levels[at + 2] = 255 * y;
      continue;
    }
    const red = colour[at] / 255, green = colour[at + 1] / 255, blue = colour[at + 2] / 255;
    const change = y - (RED * red + GREEN * green + BLUE * blue);
    const low = Math.min(red, green, blue) + change, high = Math.max(red, green, blue) + change;
    const share = Math.min(high > 1 ? (1 - y) / (high - y) : 1, low < 0 ? y / (y - low) : 1);
    levels[at] = 255 * (y + share * (red + change - y));
    levels[at + 1] = 255 * (y + share * (green + change - y));
    levels[at + 2] = 255 * (y + share * (blue + change - y));
  }
  return levels;
}

/** Entropy in bits, standard deviation and spatial frequency in grey levels, of the rounded luma of RGBA levels. */
export function scores(rgba, width, height) {
  const grey = luma(rgba).map((value) => Math.round(255 * value));
  const counts = new Array(256).fill(0);
  let sum = 0, squares = 0, across = 0, down = 0;
  for (let n = 0; n < grey.length; n++) {
    counts[grey[n]]++;
    sum += grey[n];
    squares += grey[n] ** 2;
    if ((n + 1) % width) across += (grey[n + 1] - grey[n]) ** 2;
    if (n >= width) down += (grey[n] - grey[n - width]) ** 2;
  }
  const shares = counts.filter(Boolean).map((count) => count / grey.length);
  return {
    EN: Math.abs(shares.reduce((total, share) => total - share * Math.log2(share), 0)),
    SD: Math.sqrt(Math.max(0, squares / grey.length - (sum / grey.length) ** 2)),
    SF: Math.min(width, height) < 2 ? NaN : Math.sqrt(across / (height * (width - 1)) + down / ((height - 1) * width)),
  };
}
