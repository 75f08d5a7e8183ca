"""How far bfloat16 inference is from float32, in grey levels of 255, with the weights ``cmmdl-ivf``.

python benchmarks/precision.py                                        # the bundled example
python benchmarks/precision.py --data DIR --every 8                   # DIR/ir and DIR/vis, paired by file stem
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cmmdl.files.listing import list_images
from cmmdl.models.allocator import reuse_memory
from cmmdl.weights.loading import load_model

EXAMPLE = Path(__file__).parents[1] / "examples"


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255)[None, None]


def differences(model: torch.nn.Module, ir: torch.Tensor, vis: torch.Tensor) -> torch.Tensor:
    """Grey levels between the two precisions, one a pixel."""
    with torch.inference_mode():
        single = model(ir, vis)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(ir, vis)
    return (255 * (single - half.float())).abs().flatten()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with ir and vis")
    parser.add_argument("--every", type=int, default=1, help="take every so many pairs")
    options = parser.parse_args()
    reuse_memory()
    model = load_model("cmmdl-ivf")
    pairs = {"example": (EXAMPLE / "ir.png", EXAMPLE / "vis.png")}
    if options.data:
        irs, visibles = list_images(options.data / "ir"), list_images(options.data / "vis")
        pairs |= {stem: (irs[stem], visibles[stem]) for stem in sorted(irs.keys() & visibles.keys())[:: options.every]}
    print("| pair | within 1 level, % | within 4 levels, % | mean | maximum |\n|---|---|---|---|---|")
    for name, (ir, vis) in pairs.items():
        d = differences(model, read(ir), read(vis))
        within = [100 * (d <= level).double().mean().item() for level in (1, 4)]
        print(f"| {name} | {within[0]:.3f} | {within[1]:.4f} | {d.mean():.3f} | {d.max():.2f} |", flush=True)


if __name__ == "__main__":
    main()
