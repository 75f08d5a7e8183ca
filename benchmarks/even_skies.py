"""Pairs whose skies are even in both pictures: what the last stages of `cmmdl-rt` train on besides the real ones.

    python benchmarks/even_skies.py --data ../shared/data -o runs/even-skies
    python benchmarks/even_skies.py --data ../shared/data -o runs/even-walls --walls --count 240

Houses, roofs and trees are cut out of the training pairs of RoadScene and TNO (never the held-out ones) and stand
before a sky of one grey level and a little noise in either picture; the levels are drawn, infrared being dark mostly.
Real skies are hardly ever even, so that a network can darken them beside bright walls at little cost: here it cannot.
With ``--walls`` half of the houses have other levels and less contrast, and more skies are bright in infrared. The same
arguments draw the same pairs. ``--data`` holds ``train/roadscene/ir`` and so on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cmmdl.files.images import write_image
from cmmdl.training.config import Source
from cmmdl.training.data import TrainingPair, find_pairs

ROOT = Path(__file__).resolve().parents[1]
SIDE = 256
Mask = NDArray[np.float32]


def training_pairs(data: Path) -> list[TrainingPair]:
    """The pairs that the houses are cut from."""
    sources = (
        Source(ir=data / name / "ir", vis=data / name / "vis", leave_out=ROOT / "configs" / f"validation-{name}.txt")
        for name in ("roadscene", "tno")
    )
    return [pair for source in sources for pair in find_pairs(source)[0]]


def skyline(random: np.random.Generator) -> Mask:
    """What stands before the sky: ``(SIDE, SIDE)``, 1 inside, edges one pixel soft."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(random.integers(1, 4)):  # a house with or without a roof
        left, top = random.integers(-40, SIDE - 40), random.integers(40, 200)
        right, ridge = left + random.integers(40, 120), top - random.integers(0, 40)
        corners = [(left, SIDE), (left, top), ((left + right) // 2, ridge), (right, top), (right, SIDE)]
        cv2.fillPoly(mask, [np.array(corners, np.int32)], 1.0)
    for _ in range(random.integers(0, 3)):  # a tree
        x, y, radius = random.integers(0, SIDE), random.integers(60, 200), random.integers(15, 45)
        coarse = random.random((SIDE // 8, SIDE // 8), np.float32)
        leaves = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        rows, columns = np.mgrid[:SIDE, :SIDE]
        mask[(np.hypot(columns - x, rows - y) < radius) & (leaves > 0.4)] = 1
        mask[y:, max(0, x - 2) : x + 2] = 1
    mask[random.integers(150, 240) :] = 1
    return cv2.GaussianBlur(mask, (0, 0), 0.7)


def wall(picture: Mask, random: np.random.Generator) -> Mask:
    """What stands before the sky: every other time of another level and less contrast, as plain walls are."""
    if random.random() < 0.5:
        return picture
    return random.uniform(10, 245) + (picture - picture.mean()) * np.float32(random.uniform(0.1, 1))


def draw(pair: TrainingPair, random: np.random.Generator, walls: bool) -> list[NDArray[np.uint8]]:
    """Infrared and visible, ``(SIDE, SIDE)`` each."""
    planes = pair.load()[:2].astype(np.float32)
    _, height, width = planes.shape
    side = min(height, width, int(random.integers(160, 400)))
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    mask = skyline(random)
    levels = (
        random.uniform(0, 255) if random.random() < (0.4 if walls else 0.2) else random.uniform(0, 70),
        random.uniform(10, 250),
    )
    pictures = []
    for plane, level, noise in zip(planes, levels, random.uniform(0.3, 2.0, 2), strict=True):
        solid = cv2.resize(plane[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        solid = wall(solid, random) if walls else solid
        picture = mask * solid + (1 - mask) * (level + random.normal(0, noise, mask.shape))
        pictures.append(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds train/roadscene/ir, train/tno/ir, ...")
    parser.add_argument("-o", "--folder", type=Path, required=True, help="gets ir/ and vis/")
    parser.add_argument("--walls", action="store_true", help="plain walls of all levels among the houses")
    parser.add_argument("--count", type=int, default=160)
    options = parser.parse_args()
    pairs = training_pairs(options.data / "train")
    for number in range(options.count):
        random = np.random.default_rng(number)
        pair = pairs[random.integers(len(pairs))]
        for side, picture in zip(("ir", "vis"), draw(pair, random, options.walls), strict=True):
            (options.folder / side).mkdir(parents=True, exist_ok=True)
            write_image(options.folder / side / f"{number:03d}.png", picture)


if __name__ == "__main__":
    main()
