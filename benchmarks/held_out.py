"""Score weights on the pairs that training left out: what recipes are chosen by.

    python benchmarks/held_out.py --data ../shared/data cmmdl-ivf runs/mine/last.safetensors
    python benchmarks/held_out.py --data ../shared/data --set tno cmmdl-rt

``--data`` holds ``train/tno/ir``, ``train/tno/vis`` and so on; the pairs are those of ``configs/validation-NAME.txt``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cmmdl import Fuser
from cmmdl.metrics import score, ssim
from cmmdl.training.config import Source
from cmmdl.training.data import find_pairs, read_luma, read_stems
from cmmdl.training.losses import brightness, grain, halos, rims
from cmmdl.training.validation import total

ROOT = Path(__file__).resolve().parents[1]
SETS = {"roadscene": "RoadScene", "tno": "TNO", "msrs128": "MSRS, squeezed"}
METRICS = ["EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "QCB", "Nabf"]
"""The last two are in no loss."""

EXTREMES = {"corr": min}
"""Of these the worst picture counts, of all others the mean."""

COLUMNS = [*METRICS, "corr", "rims", "dark", "total"]
SHOWN = [*COLUMNS[:-1], "SSIM (range 2)", "halos", "shades", "grain", "total"]
"""What this program prints: the columns of the ablations and four more."""

LEGEND = (
    "The scores are means over the held-out pairs, stretched. `total` is the mean over the eight trained metrics in "
    "units of their spread over published methods. QCB and Nabf (lower is better) are in no loss. `corr` is the least "
    "correlation with either source of any picture: below 0 the picture is on the whole the negative of a source. "
    "`rims` and `dark` are the loss terms `rims` and `brightness` times 1000 (lower is better): thin lines that no "
    "source has, and how much darker than the brighter source blocks are."
)


def centre(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The centred square of a picture ``(H, W)``, or what there is of it; 0 takes all."""
    top, left = (max(0, (length - side) // 2) if side else 0 for length in picture.shape)
    return np.ascontiguousarray(picture[top : top + side or None, left : left + side or None])


def shades(fused: NDArray[np.uint8], ir: NDArray[np.uint8], vis: NDArray[np.uint8]) -> float:
    """Slow shades where both sources are smooth, in grey levels over ten pixels: seams in skies. In no loss.

    The gradient of the picture blurred by a Gaussian of 4 pixels, as far as it exceeds 1.25 times the larger one of the
    sources; the mean over the pixels where neither source changes by more than half a level a pixel.
    """

    def slope(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 4, borderType=cv2.BORDER_REFLECT)
        return np.hypot(*np.gradient(blurred))

    of_sources = np.maximum(slope(ir), slope(vis))
    excess = np.maximum(slope(fused) - 1.25 * of_sources, 0)[of_sources < 0.5]
    return 10 * float(excess.mean()) if excess.size else 0.0


def validate(weights: str | Path, data: Path, name: str, *, crop: int = 0) -> dict[str, float]:
    """Scores on the held-out pairs of one set.

    Args:
        weights: A name or a file.
        data: Holds ``NAME/ir`` and ``NAME/vis``.
        name: A key of ``SETS``.
        crop: Larger pictures are cut to a centred square of this side before they are fused; 0 takes them whole.
    """
    fuser, rows = Fuser(weights, backend="torch", stretch=True), []
    stems = read_stems(ROOT / "configs" / f"validation-{name}.txt")
    pairs = [
        pair for pair in find_pairs(Source(ir=data / name / "ir", vis=data / name / "vis"))[0] if pair.name in stems
    ]
    for pair in tqdm(pairs, desc=f"{weights}: {name}", leave=False):
        ir, vis = (centre(read_luma(path), crop) for path in (pair.ir, pair.vis))
        fused = np.asarray(fuser(ir, vis))
        planes = [torch.from_numpy(picture)[None, None] / 255 for picture in (fused, ir, vis)]
        rows.append(
            score(fused, ir, vis, metrics=METRICS)
            | {"corr": min(float(np.corrcoef(fused.ravel(), source.ravel())[0, 1]) for source in (ir, vis))}
            | {"rims": 1000 * rims(*planes).item(), "dark": 1000 * brightness(*planes).item()}
            | {"halos": 1000 * halos(*planes).item(), "grain": 1000 * grain(*planes).item()}
            | {"SSIM (range 2)": ssim(*planes, data_range=2 / 255).item(), "shades": shades(fused, ir, vis)}
        )
    means = {key: float(EXTREMES.get(key, np.mean)([row[key] for row in rows])) for key in rows[0]}
    return means | {"total": total(means)}


def cells(scores: dict[str, float], columns: Sequence[str] = COLUMNS) -> list[str]:
    """The columns of a table's row."""
    return [f"{scores[column]:.{1 if scores[column] >= 15 else 3}f}" for column in columns]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="names of `cmmdl models` or files")
    parser.add_argument("--data", type=Path, required=True, help="holds train/tno/ir, train/tno/vis, ...")
    parser.add_argument("--set", action="append", choices=SETS, help="repeat it  [default: all]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"| weights | set | {' | '.join(SHOWN)} |\n{'|---' * (len(SHOWN) + 2)}|")
    for weights in options.weights:
        for name in options.set or SETS:
            scores = validate(weights, options.data / "train", name)
            print(f"| {weights} | {SETS[name]} | {' | '.join(cells(scores, SHOWN))} |", flush=True)


if __name__ == "__main__":
    main()
