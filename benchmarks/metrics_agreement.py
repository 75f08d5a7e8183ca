"""Write the tables of docs/metrics.md: the metrics as data, theirs beside ours, and what simple rules score.

    python benchmarks/metrics_agreement.py                       # rewrite docs/metrics.md
    python benchmarks/metrics_agreement.py --shared ../shared    # with the folder of real pictures elsewhere

Each table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``; one whose pictures are absent is left as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from cmmdl.files.images import read_image
from cmmdl.files.listing import list_images
from cmmdl.metrics import CONVENTIONS, METRICS, score

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
VIFB_NAMES = {
    "AG": "Avg_gradient",
    "CE": "Cross_entropy",
    "EI": "Edge_intensity",
    "EN": "Entropy",
    "MI": "Mutinf",
    "PSNR": "Psnr",
    "Qabf": "Qabf",
    "QCB": "Qcb",
    "QCV": "Qcv",
    "RMSE": "Rmse",
    "SD": "Variance",
    "SF": "Spatial_frequency",
    "SSIM": "Ssim",
}
RULES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "pixel mean": lambda ir, vis: ((ir.astype(int) + vis + 1) // 2).astype(np.uint8),
    "pixel maximum": np.maximum,
    "copy of the visible": lambda ir, vis: vis,
    "copy of the infrared": lambda ir, vis: ir,
}


def markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def bound(value: float) -> str:
    return ("−" if value < 0 else "") + ("∞" if math.isinf(value) else f"{abs(value):g}")


def metrics_table() -> str:
    rows = []
    for name, m in METRICS.items():
        used = ", ".join(f"`{c}`" for c in CONVENTIONS if c != "paper" and name in CONVENTIONS[c].metrics)
        span = f"{bound(m.range[0])} … {bound(m.range[1])}" + (f" {m.unit}" if m.unit else "")
        loss = "yes" if m.differentiable else ""
        rows.append(
            [f"**{name}**", m.title, m.direction, span, f"{m.smallest}", loss, used, f"`{m.equation}`", m.source]
        )
    head = ["metric", "name", "better", "range", "least side", "differentiable", "conventions", "equation", "source"]
    return markdown(head, rows)


def agreement(pairs: list[tuple[str, float, float]]) -> list[list[str]]:
    """Rows of means and of the largest relative difference of (metric, theirs, ours)."""
    rows = []
    for name in dict.fromkeys(name for name, _, _ in pairs):
        theirs, ours = np.array([(t, o) for n, t, o in pairs if n == name and math.isfinite(t)]).T
        worst = np.max(np.abs(ours / theirs - 1))
        rows.append([name, f"{len(theirs)}", f"{theirs.mean():.7g}", f"{ours.mean():.7g}", f"{worst:.1e}"])
    return rows


HEAD = ["metric", "values", "theirs, mean", "ours, mean", "largest relative difference"]


def golden_table() -> str:
    values = json.loads((GOLDEN / "metrics_values.json").read_text())
    pictures = np.load(GOLDEN / "metrics_images.npz")
    pairs = []
    for key, theirs in values.items():
        three = [pictures[k] for k in (f"fused_{key}", f"ir_{key.split('_')[1]}", f"vis_{key.split('_')[1]}")]
        ours = score(*three)
        ours["SSIM_cddfuse"] = score(*three, convention="cddfuse", metrics=["SSIM"])["SSIM"]
        pairs += [(name.replace("_cddfuse", " (`cddfuse`)"), theirs[name], ours[name]) for name in theirs]
    return markdown(HEAD, agreement(pairs))


def vifb_table(shared: Path) -> str | None:
    folder = shared / "data" / "vifb_sample"
    if not folder.is_dir():
        return None
    pairs = []
    for stem, methods in json.loads((folder / "values.json").read_text()).items():
        ir, vis = (read_image(folder / source / f"{stem}.jpg") for source in ("ir", "vis"))
        for method, theirs in methods.items():
            (path,) = (folder / "fused" / method).glob(f"{stem}.*")
            ours = score(read_image(path), ir, vis, convention="vifb")
            pairs += [(f"{name} (`{VIFB_NAMES[name]}`)", theirs[VIFB_NAMES[name]], ours[name]) for name in ours]
    return markdown(HEAD, agreement(pairs))


def rules_table(shared: Path) -> str | None:
    names = ["EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM"]
    rows = []
    for data, title in (("tno", "TNO"), ("roadscene", "RoadScene")):
        folder, board = shared / "data" / "test" / data, shared / "boards" / f"{data}.json"
        if not (folder.is_dir() and board.is_file()):
            return None
        networks = json.loads(board.read_text()).values()
        visible = list_images(folder / "vis")
        values: dict[str, list[dict[str, float]]] = {rule: [] for rule in RULES}
        for stem, path in list_images(folder / "ir").items():
            ir, vis = (grey(read_image(p)) for p in (path, visible[stem]))
            for rule, fuse in RULES.items():
                values[rule].append(score(fuse(ir, vis), ir, vis, metrics=names))
        for rule, scores in values.items():
            row = [title, rule]
            for name in names:
                mean = float(np.mean([s[name] for s in scores]))
                row.append(f"{mean:.2f} ({sum(mean > network[name] for network in networks)})")
            rows.append(row)
    return markdown(["pictures", "rule", *names], rows)


def grey(picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 2:
        return picture
    return np.round(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def main() -> None:
    """Rewrite the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder of real pictures")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "metrics.md")
    options = parser.parse_args()
    tables = {
        "metrics": metrics_table(),
        "golden": golden_table(),
        "vifb": vifb_table(options.shared),
        "rules": rules_table(options.shared),
    }
    page = options.page.read_text(encoding="utf-8")
    for name, table in tables.items():
        if table is None:
            print(f"{name}: pictures absent, table left as it is")
            continue
        page, count = re.subn(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", rf"\g<1>\n{table}\n\n\2", page, flags=re.S)
        print(f"{name}: {'written' if count else 'no such marker in the page'}")
    options.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
