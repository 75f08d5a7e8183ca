"""Draws the thermal example: ``python examples/make_thermal.py`` writes examples/thermal and the picture of its page.

The thermal camera sees the middle of the photo with 160x120 pixels, as two cameras in one housing do.
"""

import io
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from cmmdl import Fuser, read_thermal
from cmmdl.files.images import write_image
from cmmdl.files.palettes import paint_table
from cmmdl.fusion.painting import beside, colours_of, legend, paint
from cmmdl.scenes import counts_of, radiometric_scene

HERE = Path(__file__).resolve().parent / "thermal"
PAGE = HERE.parents[1] / "docs" / "thermal.jpg"
LEFT, TOP, WIDTH, HEIGHT = 96, 54, 448, 336
"""The thermal field of view in the photo of 640x480."""


def draw() -> None:
    """Writes the photo, the temperatures as °C TIFF, and as a camera core counts them, in 14 bits."""
    celsius, photo = radiometric_scene(480, 640, seed=3)
    seen = cv2.resize(celsius[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH], (160, 120), interpolation=cv2.INTER_AREA)
    HERE.mkdir(exist_ok=True)
    tifffile.imwrite(HERE / "celsius.tif", seen, compression="zlib", metadata=None)
    write_image(HERE / "counts.png", counts_of(seen))
    exif = Image.Exif()
    exif[271], exif[306] = "Drawn camera", "2026:01:01 12:00:00"
    exif[0x8825] = {1: "N", 2: (46.0, 12.0, 0.0), 3: "E", 4: (7.0, 30.0, 0.0)}
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=92, exif=exif)
    (HERE / "photo.jpg").write_bytes(file.getvalue())


def show() -> None:
    """Four pictures side by side: photo, temperatures, fused, fused and painted with its legend."""
    thermal, table = read_thermal(HERE / "celsius.tif"), paint_table("iron")
    laid = Fuser("cmmdl-rt", note=print).lay(thermal, HERE / "photo.jpg")
    fused = np.asarray(Fuser("cmmdl-rt", note=print).fuse_laid(laid))
    low, high = laid.ir.range
    share = (laid.celsius - low) / (high - low)
    y = (fused / 255.0 @ [0.299, 0.587, 0.114]).astype(np.float32)
    painted = paint(y, share, table, over=(fused / 255.0).astype(np.float32).transpose(2, 0, 1), where=laid.cover)
    small = (colours_of((thermal.celsius - low) / (high - low), table).transpose(1, 2, 0) * 255).astype(np.uint8)
    canvas = np.zeros_like(fused)
    canvas[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH] = cv2.resize(small, (WIDTH, HEIGHT))
    rows = [np.asarray(Image.open(HERE / "photo.jpg")), canvas, fused, np.rint(painted.transpose(1, 2, 0) * 255)]
    top, bottom = np.hstack(rows[:2]), np.hstack(rows[2:])
    strip = legend(480, table, low, high, "C")
    whole = np.vstack([beside(top.astype(np.uint8), np.full_like(strip, 26)), beside(bottom.astype(np.uint8), strip)])
    size = whole.shape[1] * 2 // 3, whole.shape[0] * 2 // 3
    Image.fromarray(whole).resize(size, Image.Resampling.LANCZOS).save(PAGE, quality=88)


if __name__ == "__main__":
    draw()
    show()
