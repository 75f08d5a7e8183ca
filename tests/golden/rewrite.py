"""Write anew what the shipped weights make of two drawn scenes: `make golden`, after weights have changed.

Look at the pictures in `tests/golden/fused` before committing them; `tests/test_golden.py` holds every runtime to them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmmdl import Fuser
from cmmdl.scenes import synthetic_pair

FUSED = Path(__file__).parent / "fused"
FULL = ("cmmdl-ivf", "cmmdl-mif")
"""Those that do not ship as ONNX files."""
MODELS = (*FULL, "cmmdl-rt", "cmmdl-mif-rt")
SCENES = {"colour": (96, 128, 4), "grey": (77, 101, 9)}
"""Name -> height, width and seed."""


def scene(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Infrared and visible of a scene; of ``grey`` the visible is its green channel."""
    ir, vis = synthetic_pair(*SCENES[name])
    return ir, vis[..., 1] if name == "grey" else vis


def golden_file(model: str, name: str) -> Path:
    """Where the result of a model on a scene lies."""
    return FUSED / f"{model}-{name}.png"


def main() -> None:
    """Fuses every scene by every model, with PyTorch in float32, and says how far the results moved."""
    FUSED.mkdir(exist_ok=True)
    for model in MODELS:
        fuser = Fuser(model, backend="torch", device="cpu", precision="float32")
        for name in SCENES:
            fused, file = np.asarray(fuser(*scene(name))), golden_file(model, name)
            moved = "new"
            if file.exists():
                difference = np.abs(fused.astype(int) - np.asarray(Image.open(file)))
                moved = f"moved by {difference.max()} at most, {difference.mean():.3f} on average"
            Image.fromarray(fused).save(file, optimize=True)
            print(f"{file.name}: {moved}")


if __name__ == "__main__":
    main()
