"""Draws the moving picture of the README: ``python docs/clip.py`` writes docs/clip.webp again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import cmmdl
from cmmdl.scenes import moving_pairs

HEIGHT, WIDTH, RATE, SECONDS = 240, 320, 8, 2


def main() -> None:
    """Fuses a few seconds of the drawn scene, and writes them beside their sources."""
    moments = [k / RATE for k in range(RATE * SECONDS)]
    pairs = list(moving_pairs(HEIGHT, WIDTH, moments))
    fused = cmmdl.fuse_stream(cmmdl.Fuser("cmmdl-rt"), *zip(*pairs, strict=True), steady=True)
    frames = [side_by_side(ir, vis, one) for (ir, vis), one in zip(pairs, fused, strict=True)]
    out = Path(__file__).with_name("clip.webp")
    there_and_back = [*frames, *frames[-2:0:-1]]
    there_and_back[0].save(
        out, save_all=True, append_images=there_and_back[1:], duration=1000 // RATE, loop=0, quality=60, method=3
    )
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def side_by_side(*pictures: np.ndarray) -> Image.Image:
    """Pictures from left to right, with a thin gap."""
    gap = np.full((HEIGHT, 4, 3), 255, np.uint8)
    colour = [picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2) for picture in pictures]
    return Image.fromarray(np.hstack([colour[0], gap, colour[1], gap, colour[2]]))


if __name__ == "__main__":
    main()
