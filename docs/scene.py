"""Draws the picture at the top of the README: ``python docs/scene.py`` writes docs/scene.webp again."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cmmdl import Fuser
from cmmdl.scenes import synthetic_pair

HERE = Path(__file__).resolve().parent
SEED, HEIGHT, WIDTH, GAP, BAR = 3, 360, 480, 8, 34


def panel(picture: np.ndarray, title: str) -> Image.Image:
    """One picture with its title below."""
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    drawn = Image.new("RGB", (WIDTH, HEIGHT + BAR), "white")
    drawn.paste(Image.fromarray(rgb), (0, 0))
    font = ImageFont.load_default(20)
    ImageDraw.Draw(drawn).text((WIDTH // 2, HEIGHT + BAR // 2), title, "black", font, anchor="mm")
    return drawn


if __name__ == "__main__":
    ir, vis = synthetic_pair(HEIGHT, WIDTH, SEED)
    panels = [panel(ir, "infrared"), panel(vis, "visible"), panel(Fuser("cmmdl-ivf")(ir, vis), "fused")]
    sheet = Image.new("RGB", (3 * WIDTH + 2 * GAP, HEIGHT + BAR), "white")
    for number, drawn in enumerate(panels):
        sheet.paste(drawn, (number * (WIDTH + GAP), 0))
    sheet.save(HERE / "scene.webp", quality=88)
