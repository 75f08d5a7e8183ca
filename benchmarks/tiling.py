"""Measure how far a picture fused in tiles is from the same picture fused whole.

The network looks at the whole picture, so tiles are an approximation. This prints, for each size of tile, the
largest, 99th percentile and mean difference of the fused luma over the given pairs, in grey levels of 255.

    python benchmarks/tiling.py
    python benchmarks/tiling.py --ir ../shared/data/test/roadscene/ir --vis ../shared/data/test/roadscene/vis --pairs 10
    python benchmarks/tiling.py --model laplacian --tiles 64 128 --json tiling.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from cmmdl import Fuser
from cmmdl.files.pairs import pair_folders
from cmmdl.scenes import synthetic_pair

Pairs = list[tuple[Tensor, Tensor]]


def synthetic_lumas(count: int, fuser: Fuser) -> Pairs:
    """Scenes of 480x640."""
    scenes = (synthetic_pair(480, 640, seed) for seed in range(count))
    return [(fuser.to_picture(ir, "infrared").luma(), fuser.to_picture(vis, "visible").luma()) for ir, vis in scenes]


def folder_lumas(ir: Path, vis: Path, count: int, fuser: Fuser) -> Pairs:
    """The first pairs of two folders."""
    pairs, _ = pair_folders(ir, vis, Path("never-written"))
    return [
        (fuser.to_picture(p.ir, "infrared").luma(), fuser.to_picture(p.vis, "visible").luma()) for p in pairs[:count]
    ]


def difference(whole: list[Tensor], tiled: list[Tensor]) -> dict[str, float]:
    """The largest over all pictures; 99th percentile and mean averaged over pictures; in grey levels."""
    gaps = [(a - b).abs() * 255 for a, b in zip(whole, tiled, strict=True)]
    return {
        "max": max(gap.max().item() for gap in gaps),
        "p99": sum(gap.flatten().quantile(0.99).item() for gap in gaps) / len(gaps),
        "mean": sum(gap.mean().item() for gap in gaps) / len(gaps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cmmdl-ivf")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--ir", type=Path)
    parser.add_argument("--vis", type=Path)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--tiles", type=int, nargs="+", default=[128, 192, 256, 384])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    fuser = Fuser(options.model, device=options.device)
    synthetic = options.ir is None
    pairs = (
        synthetic_lumas(options.pairs, fuser)
        if synthetic
        else folder_lumas(options.ir, options.vis, options.pairs, fuser)
    )
    whole = [fuser.fuse_luma(*pair) for pair in pairs]
    rows = []
    print(f"{options.model}, {len(pairs)} pairs, difference from whole in grey levels of 255")
    print("tile    max    p99   mean")
    for tile in options.tiles:
        fuser.tile = tile
        row = difference(whole, [fuser.fuse_luma(*pair) for pair in pairs])
        rows.append({"tile": tile, **row})
        print(f"{tile:4} {row['max']:6.2f} {row['p99']:6.2f} {row['mean']:6.3f}")
    if options.json:
        result = {"model": options.model, "torch": torch.__version__, "pairs": len(pairs), "rows": rows}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
