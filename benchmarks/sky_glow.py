"""Shades that a network draws into even skies beside buildings, on drawn scenes of known levels.

    python benchmarks/sky_glow.py cmmdl-ivf cmmdl-rt runs/mine/last.safetensors

A house with windows stands before a sky that has one level in infrared and one in the visible picture, so that the
fused sky has to have one level too. Its mean is taken at several distances from the house; the glow is the largest
difference of one of them to the sky far away, negative where the sky is darker beside the house. The levels are drawn
from all skies and walls, four of them are given: day, a bright sky, dusk and night.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cmmdl import Fuser

GIVEN = {
    "day": (30, 190, 204, 115),
    "bright": (13, 242, 240, 150),
    "dusk": (26, 90, 180, 40),
    "night": (26, 20, 204, 30),
}
"""Levels of the sky in infrared and visible, then of the wall in both."""

HEIGHT, WIDTH = 200, 320
NEAR = (2, 4, 8, 16, 32, 64)
"""Distances between which the sky is averaged; what is farther from the house than the last is far away."""


def scene(levels: tuple[int, ...], noise: float = 1.0) -> tuple[list[NDArray[np.uint8]], NDArray[np.float64]]:
    """Infrared and visible, and each pixel's distance to the house or the ground."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    across = np.maximum(np.maximum(120 - columns, columns - 179), 0)
    house, ground = (across == 0) & (rows >= 70), rows >= 180
    window = house & (columns // 12 % 2 == 0) & (rows // 14 % 2 == 0)
    random, pictures = np.random.default_rng(0), []
    for sky, wall in zip(levels[:2], levels[2:], strict=True):
        picture = np.where(house, wall, np.full(rows.shape, sky))
        picture = np.where(window, wall - 40 if wall > 60 else wall + 30, picture)
        picture = np.where(ground & ~house, 90, picture) + random.normal(0, noise, rows.shape)
        pictures.append(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
    return pictures, np.minimum(np.hypot(across, np.maximum(70 - rows, 0)), 180 - rows)


def glow(fuser: Fuser, levels: tuple[int, ...]) -> float:
    """The largest difference of the sky at some distance from the house to the sky far away, in grey levels."""
    (ir, vis), distance = scene(levels)
    fused = np.asarray(fuser(ir, vis)).astype(float)
    sky = np.zeros_like(fused, bool)
    sky[8:, 8:-8] = True
    far = fused[sky & (distance >= NEAR[-1])].mean()
    rings = [fused[sky & (distance >= low) & (distance < high)].mean() - far for low, high in pairwise(NEAR)]
    return float(max(rings, key=abs))


def drawn(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Levels of many skies and walls; half of the skies are dark in infrared, as clear ones are."""
    random = np.random.default_rng(seed)
    return [
        (int(random.integers(5, 60 if number % 2 else 240)), *map(int, random.integers(10, 245, 3)))
        for number in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="names of `cmmdl models` or files")
    parser.add_argument("--count", type=int, default=60, help="scenes of drawn levels  [default: 60]")
    parser.add_argument("--worst", action="store_true", help="also print the levels of the five worst")
    options = parser.parse_args()
    print(f"| weights | {' | '.join(GIVEN)} | mean of {options.count} drawn | 9 of 10 below | most |")
    print("|---" * (len(GIVEN) + 4) + "|")
    for weights in options.weights:
        fuser = Fuser(weights, backend="torch")
        given = [f"{glow(fuser, levels):+.0f}" for levels in GIVEN.values()]
        sizes = {levels: glow(fuser, levels) for levels in drawn(options.count)}
        size = np.abs(list(sizes.values()))
        summary = f"{size.mean():.1f} | {np.percentile(size, 90):.1f} | {size.max():.0f}"
        print(f"| {weights} | {' | '.join(given)} | {summary} |", flush=True)
        if options.worst:
            for levels in sorted(sizes, key=lambda levels: -abs(sizes[levels]))[:5]:
                print(f"  {levels}: {sizes[levels]:+.1f}")


if __name__ == "__main__":
    main()
