"""What each part of the recipe brings: short runs of the small network, scored on the validation pairs.

    python benchmarks/ablations.py --data ../shared/data/train -o runs/ablations       # all, then docs/ablations.md
    python benchmarks/ablations.py --data ../shared/data/train -o runs/ablations --only "crop"

Every row is `configs/cmmdl-rt-stage1.toml` with the settings that the row names, trained by `cmmdl train` for as many
steps and scored on the pairs of `configs/validation-NAME.txt`, fused with the min-max stretch. The test pairs are
untouched. A run that is interrupted continues; a run that is done is only scored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np

from cmmdl import Fuser
from cmmdl.metrics import score
from cmmdl.training.config import Source
from cmmdl.training.data import find_pairs, read_stems
from cmmdl.training.validation import total

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "cmmdl-rt-stage1.toml"
RECIPE = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
DOCS = ROOT / "docs" / "ablations.md"
METRICS = ["EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "QCB", "Nabf"]
"""The last two are in no loss."""

RELEASED = "loss.terms={ intensity = 1.0, gradient = 5.0, clip = 10.0 }"
SIGNED = "loss.terms={ intensity = 10.0, gradient_signed = 5.0, ssim = 1.0, clip = 10.0 }"
GUARDS = ("intensity_max", "balance", "gradient_signed")


def terms(**changes: float) -> str:
    """The recipe's terms with other weights, as a setting; a weight of 0 leaves a term out."""
    weights = {**RECIPE["loss"]["terms"], **changes}
    return f"loss.terms={{ {', '.join(f'{name} = {weight}' for name, weight in weights.items())} }}"


RUNS: dict[str, list[str]] = {
    "recipe": [],
    "recipe, seed 2": ["run.seed=2"],
    "recipe, seed 3": ["run.seed=3"],
    "released loss": [RELEASED],
    "intensity of the salient source, signed gradients, SSIM": [SIGNED],
    "metric terms alone": [terms(**dict.fromkeys(GUARDS, 0.0))],
    "metric terms of weight 1, no caps": [
        "loss.terms={ ssim = 1, vif = 1, qabf = 1, scd = 1, mi = 1, en = 1, sd = 1, sf = 1, clip = 10 }",
        "loss.targets={}",
    ],
    "no caps": ["loss.targets={}"],
    "variance mask instead of the brighter source": [terms(intensity_max=0.0, intensity=8.0)],
    "mutual information of a third": [terms(mi=0.7)],
    "crops of 64 pixels, 32 of them": ["data.crop=64", "data.batch=32"],
    "no running average": ["optim.ema=0.0"],
    "no squeezed pictures": ["without msrs128"],
    "no frequency path": ["model.spectrum=0"],
}


def train(name: str, settings: list[str], data: Path, folder: Path, steps: int) -> float:
    """Trains one row if that is not done yet; gives its minutes."""
    record = folder / "minutes.txt"
    if (folder / "last.safetensors").exists():
        return float(record.read_text()) if record.exists() else float("nan")
    sources = [
        {**source, **{side: data / Path(source[side]).parts[-2] / side for side in ("ir", "vis")}}
        for source in RECIPE["data"]["sources"]
        if f"without {Path(source['ir']).parts[-2]}" not in settings
    ]
    given = [text for text in settings if not text.startswith("without ")]
    rows = ", ".join("{ " + ", ".join(f"{k} = {toml(v)}" for k, v in source.items()) + " }" for source in sources)
    given += [f"data.sources=[{rows}]", f"run.steps={steps}", f"val.every={10 * steps}"]
    command = [sys.executable, "-m", "cmmdl", "train", str(CONFIG), "-o", str(folder)]
    begun = time.monotonic()
    subprocess.run([*command, *(word for text in given for word in ("--set", text))], check=True, cwd=ROOT)
    minutes = (time.monotonic() - begun) / 60
    record.write_text(f"{minutes:.2f}")
    return minutes


def toml(value: object) -> str:
    return str(value) if isinstance(value, float) else json.dumps(str(Path(str(value)).resolve()))


def validate(weights: Path, data: Path, name: str) -> dict[str, float]:
    """Mean scores on the validation pairs of one set, and the least correlation with either source."""
    fuser, rows = Fuser(weights, backend="torch", stretch=True), []
    stems = read_stems(ROOT / "configs" / f"validation-{name}.txt")
    for pair in find_pairs(Source(ir=data / name / "ir", vis=data / name / "vis"))[0]:
        if pair.name in stems:
            ir, vis = pair.load()[:2]
            fused = np.asarray(fuser(ir, vis))
            correlation = min(np.corrcoef(fused.ravel(), source.ravel())[0, 1] for source in (ir, vis))
            rows.append(score(fused, ir, vis, metrics=METRICS) | {"corr": float(correlation)})
    means = {metric: float(np.mean([row[metric] for row in rows])) for metric in METRICS}
    return means | {"corr": min(row["corr"] for row in rows), "total": total(means)}


def table(results: dict[str, dict], steps: int) -> str:
    """The document: a table a set."""
    text = (
        "# Ablations\n\n"
        f"{(__doc__ or '').strip().splitlines()[0]} Written by\n"
        "`python benchmarks/ablations.py --data DIR -o FOLDER`.\n\n"
        f"Every row is `configs/{CONFIG.name}` with the change that it names, {steps} steps, seed 1 unless it says "
        "otherwise; the scores are means over the validation pairs, stretched. `total` is the mean over the eight "
        "trained metrics in units of their spread over published methods; three seeds of the recipe show how much of "
        "a difference is chance. QCB and Nabf are in no loss. `corr` is the least correlation with either source of "
        "any picture: below 0 the picture is in part the negative of a source.\n"
    )
    for name, title in {"tno": "TNO", "roadscene": "RoadScene"}.items():
        text += f"\n## {title}, {next(iter(results.values()))['pairs'][name]} validation pairs\n\n"
        text += f"| run | {' | '.join(METRICS)} | corr | total | minutes |\n|{'---|' * (len(METRICS) + 4)}\n"
        for row, result in results.items():
            values = [result[name][metric] for metric in (*METRICS, "corr", "total")]
            cells = [f"{value:.1f}" if value >= 15 else f"{value:.3f}" for value in values]
            text += f"| {row} | {' | '.join(cells)} | {result['minutes']:.1f} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds roadscene/ir, roadscene/vis, tno/ir, ...")
    parser.add_argument("-o", "--folder", type=Path, required=True, help="where the runs go")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", default="", help="only the runs whose name contains this; writes no document")
    options = parser.parse_args()
    results = {}
    for number, (name, settings) in enumerate(RUNS.items()):
        if options.only not in name:
            continue
        folder = options.folder / f"{number:02d}"
        minutes = train(name, settings, options.data, folder, options.steps)
        results[name] = {"minutes": minutes, "pairs": {}}
        for of_set in ("tno", "roadscene"):
            results[name][of_set] = validate(folder / "last.safetensors", options.data, of_set)
            results[name]["pairs"][of_set] = len(read_stems(ROOT / "configs" / f"validation-{of_set}.txt"))
        print(name, json.dumps(results[name]), flush=True)
    text = table(results, options.steps)
    print(text)
    if not options.only:
        DOCS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
