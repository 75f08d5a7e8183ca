"""Ablations of the recipe: short runs of the small network from random weights, scored on the held-out pairs.

    python benchmarks/ablations.py --data ../shared/data -o runs/ablations              # writes the appendix
    python benchmarks/ablations.py --data ../shared/data -o runs/ablations --only seed  # those named so

Every row is ``configs/history/cmmdl-ivf-stage5.toml`` with the change that it names; ``blocks.py`` does the same for
the blocks of the network. A run that is there is not repeated, one that was killed continues, one of other settings is
an error. ``--data`` holds ``train/roadscene/ir``, ``train/roadscene/vis``, and so on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from cmmdl.training.config import TrainConfig, changed_keys
from cmmdl.training.configfile import load_config, read_config
from cmmdl.weights.loading import read_header
from held_out import COLUMNS, LEGEND, SETS, cells, validate
from quality import update_between

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "history" / "cmmdl-ivf-stage5.toml"
RECIPE = read_config(CONFIG)
APPENDIX = ROOT / "docs" / "ablations-appendix.md"
MARKS = "<!-- recipe:begin -->", "<!-- recipe:end -->"
GUARDS = ("intensity_max", "balance", "frame", "gradient_signed")


def terms(**changes: float) -> str:
    """The recipe's terms with other weights, as a setting; a weight of 0 leaves a term out."""
    weights = {**RECIPE["loss"]["terms"], "clip": 10.0, **changes}
    return f"loss.terms={{ {', '.join(f'{name} = {weight}' for name, weight in weights.items())} }}"


def only_terms(**weights: float) -> str:
    """These terms and no others, as a setting."""
    return terms(**{**dict.fromkeys(RECIPE["loss"]["terms"], 0.0), **weights})


COMMON = ['run.init=""', "optim.ema=0.99", "run.samples_every=1000000", "run.threads=1"]
SMALL = [
    *COMMON, 'model={ architecture = "cmmdl-rt" }', 'run.precision="fp32"', "data.crop=96", "data.batch=8",
    "optim.lr=1.5e-3", terms(),
]  # fmt: skip

LOSSES: dict[str, list[str]] = {
    "recipe": [],
    "recipe, seed 6": ["run.seed=6"],
    "recipe, seed 7": ["run.seed=7"],
    "released loss": [only_terms(intensity=1.0, gradient=5.0)],
    "intensity of the salient source, signed gradients, SSIM": [
        only_terms(intensity=10.0, gradient_signed=5.0, ssim=1.0)
    ],
    "metric terms alone, no guards": [terms(**dict.fromkeys(GUARDS, 0.0))],
    "metric terms of weight 1, no targets, no guards": [
        only_terms(**dict.fromkeys(("ssim", "vif", "qabf", "scd", "mi", "en", "sd", "sf"), 1.0)),
        "loss.targets={}",
    ],
    "no targets": ["loss.targets={}"],
    "variance mask instead of the brighter source": [terms(intensity_max=0.0, intensity=10.0)],
    "histogram of 32 bins for mutual information": ["loss.mi_bins=32"],
    "mutual information of weight 0.8": [terms(mi=0.8)],
    "spatial frequency of weight 2": [terms(sf=2.0)],
    "crops of 64 pixels, 18 of them": ["data.crop=64", "data.batch=18"],
    "no running average": ["optim.ema=0.0"],
    "no squeezed pictures": ["without msrs128"],
    "small network without its frequency path": ["model.spectrum=0"],
    "no margin, no frame term": ["loss.margin=0", terms(frame=0.0)],
    "rims of weight 1500": [terms(rims=1500.0)],
    "brightness of weight 60": [terms(brightness=60.0)],
    "coarse gradients of weight 2": [terms(gradient_coarse=2.0)],
}


def train(settings: list[str], data: Path, folder: Path, steps: int) -> float:
    """Trains one row if that is not done yet; gives its minutes."""
    sources = [
        {**source, **{side: str(data / Path(source[side]).parts[-2] / side) for side in ("ir", "vis")}}
        for source in RECIPE["data"]["sources"]
        if f"without {Path(source['ir']).parts[-2]}" not in settings
    ]
    tables = (f"{{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in s.items())} }}" for s in sources)
    chosen = [text for text in settings if not text.startswith("without ")]
    chosen += [f"data.sources=[{', '.join(tables)}]", f"run.steps={steps}"]
    given = {text.split("=")[0]: text for text in chosen}.values()  # the last word on a setting counts
    record, weights = folder / "minutes.txt", folder / "last.safetensors"
    if record.exists():
        trained = TrainConfig.model_validate_json(read_header(weights)["training"])
        if changes := changed_keys(trained, load_config(CONFIG, given, run={"folder": trained.run.folder})):
            sys.exit(f"{folder} holds a run of other settings ({', '.join(changes)}): give another folder with -o")
        return float(record.read_text())
    command = [sys.executable, "-m", "cmmdl", "train", str(CONFIG), "-o", str(folder)]
    begun = time.monotonic()
    subprocess.run([*command, *(word for text in given for word in ("--set", text))], check=True, cwd=ROOT)
    minutes = (time.monotonic() - begun) / 60
    record.write_text(f"{minutes:.2f}")
    return minutes


def tables(results: dict[str, dict], steps: int) -> str:
    """How the runs were made, and a table a set."""
    text = (
        f"Every row is [{CONFIG.name}](../configs/history/{CONFIG.name}) from random weights with the change that it "
        "names, by `python benchmarks/ablations.py --data DIR -o FOLDER`: the small network, eight 96-pixel crops a "
        f"step, float32, learning rate 1.5e-3, a weight of 10 on `clip`, {steps} steps, seed {RECIPE['run']['seed']} "
        "unless it says otherwise, on one core, with a running average of 0.99; minutes are of a core that was shared "
        f"at times, and tell little. {LEGEND} The three seeds of the unchanged recipe show how much of a difference is "
        "chance.\n"
    )
    for of_set in ("tno", "roadscene"):
        text += f"\n### Loss and data: {SETS[of_set]}\n\n"
        text += f"| run | {' | '.join(COLUMNS)} | minutes |\n|{'---|' * (len(COLUMNS) + 2)}\n"
        for name, result in results.items():
            text += f"| {name} | {' | '.join(cells(result[of_set]))} | {result['minutes']:.1f} |\n"
    return text + spread(results)


def spread(rows: dict[str, dict]) -> str:
    """How far the totals of the first row's three seeds lie apart."""
    totals = {s: [row[s]["total"] for row in list(rows.values())[:3]] for s in ("tno", "roadscene")}
    words = ", ".join(f"{np.std(values, ddof=1):.3f} ({name})" for name, values in totals.items())
    return f"\nStandard deviation of `total` over the three seeds: {words}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds train/roadscene/ir, train/roadscene/vis, ...")
    parser.add_argument("-o", "--folder", type=Path, required=True, help="where the runs go")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--only", default="", help="only the runs whose name contains this; writes no document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, results = options.data.resolve() / "train", {}
    for number, (name, settings) in enumerate(LOSSES.items()):
        if options.only not in name:
            continue
        folder = options.folder.resolve() / f"small-{number:02d}"
        minutes = train([*SMALL, *settings], data, folder, options.steps)
        scores = {s: validate(folder / "last.safetensors", data, s) for s in ("tno", "roadscene")}
        results[name] = {"minutes": minutes, **scores}
        print(name, json.dumps(results[name]), flush=True)
    if not options.only:
        update_between(APPENDIX, MARKS, f"\n{tables(results, options.steps)}")


if __name__ == "__main__":
    main()
