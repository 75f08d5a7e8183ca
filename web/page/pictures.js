// Files to levels: what a browser decodes as Python does, and a word about everything else.

const COMMAND = "fuse it with the command line: cmmdl fuse IR VIS -o fused.png";
/** Most pixels of a picture. */
const MOST = 40e6;

/** A picture as `{name, rgba, width, height}`; throws an `Error` of one line that names the file. */
export async function decode(file) {
  const reason = refusal(new Uint8Array(await file.arrayBuffer()));
  if (reason) throw new Error(`${file.name} ${reason}; ${COMMAND}`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error(`${file.name} cannot be decoded by this browser; it may be damaged, or ${COMMAND}`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST) throw new Error(`${file.name} has ${width}x${height} pixels, too many here; ${COMMAND}`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  for (let at = 3; at < rgba.length; at += 4) {
    if (rgba[at] !== 255) throw new Error(`${file.name} has transparent pixels, which browsers mix with black; ${COMMAND}`);
  }
  return { name: file.name, rgba, width, height };
}

/** Why a file is not for a browser, from its first bytes; empty if it is. */
export function refusal(bytes) {
  const text = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
  if (text(0, 4) === "II*\0" || text(0, 4) === "MM\0*") return "is a TIFF, which browsers do not read";
  if (text(1, 4) === "PNG") {
    if (bytes[24] === 16) return "has 16 bits, of which browsers keep 8";
    return chunks(bytes).includes("acTL") ? "is an animation" : "";
  }
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    return components(bytes) === 4 ? "is a CMYK JPEG, whose colours browsers guess" : "";
  }
  if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") {
    return text(12, 16) === "VP8X" && bytes[20] & 2 ? "is an animation" : "";
  }
  return "is no PNG, JPEG or WebP, which are what this page reads";
}

/** The names of a PNG's chunks before its pixels. */
function chunks(bytes) {
  const view = new DataView(bytes.buffer), names = [];
  for (let at = 8; at + 8 <= bytes.length && names.at(-1) !== "IDAT"; at += 12 + view.getUint32(at)) {
    names.push(String.fromCharCode(...bytes.subarray(at + 4, at + 8)));
  }
  return names;
}

/** How many components a JPEG has, from its frame header; 0 if there is none. */
function components(bytes) {
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + bytes[at + 2] * 256 + bytes[at + 3]) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return bytes[at + 9];
  }
  return 0;
}
