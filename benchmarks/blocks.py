"""Does each block of the network help? Paired seeds of a narrow network with and without it.

    python benchmarks/blocks.py --data ../shared/data -o runs/blocks          # trains what is missing, writes tables
    python benchmarks/blocks.py --data ../shared/data -o runs/blocks --train  # trains only

Every run is the recipe of ``ablations.py`` with a network of 32 channels and 2 blocks, two crops a step. A run that is
there is not repeated and one that was killed continues, so that the command may be stopped at any time. The tables go
between the marks of ``docs/ablations.md`` and of its appendix.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ablations import APPENDIX, COMMON, ROOT, train
from held_out import COLUMNS, SETS, cells, validate
from quality import update_between

WHOLE = "the whole network"
BLOCKS: dict[str, list[str]] = {
    WHOLE: [],
    "without FDLB": ["model.fdlb=false"],
    "without SDLB": ["model.sdlb=false"],
    "SDLB with the invertible coupling": ['model.coupling="invertible"'],
    "SFCA without its frequency stage": ["model.sfca_frequency=false"],
    "HDFFB without attention": ["model.hdffb_attention=false"],
}
SEEDS = (5, 6, 7)
SCORED = ("tno", "roadscene")
PAGE = ROOT / "docs" / "ablations.md"
MARKS = "<!-- blocks:begin -->", "<!-- blocks:end -->"
Results = dict[tuple[str, int], dict[str, dict[str, float]]]
"""Row and seed -> set -> column -> score."""


def settings(seed: int, crop: int) -> list[str]:
    """What all runs of a seed have in common."""
    network = ["model.width=32", "model.blocks=2", "optim.lr=6e-4", 'run.precision="fp32"']
    return [*COMMON, *network, f"data.crop={crop}", f"run.seed={seed}", "run.save_every=50"]


def scores_of(folder: Path, data: Path, picture: int) -> dict[str, dict[str, float]]:
    """Scores of the weights in a run folder, kept there."""
    file = folder / f"scores-{picture}.json"
    if not file.exists():
        scores = {name: validate(folder / "last.safetensors", data, name, crop=picture) for name in SCORED}
        file.write_text(json.dumps(scores))
    return dict(json.loads(file.read_text()))


def differences(results: Results, row: str, of_set: str, column: str = "total") -> list[float]:
    """The row minus the whole network, seed by seed."""
    seeds = sorted(seed for name, seed in results if name == row)
    return [results[row, s][of_set][column] - results[WHOLE, s][of_set][column] for s in seeds]


def verdict(results: Results, row: str) -> str:
    """In words: whether every seed says the same, on which set."""
    signs = {s: {np.sign(d) for d in differences(results, row, s)} for s in SCORED}
    said = {s: "worse" if only == {-1} else "better" if only == {1} else "" for s, only in signs.items()}
    if not any(said.values()):
        return "no difference that every seed shows"
    if len(set(said.values())) == 1:
        return f"{said['tno']} on both sets with every seed"
    return ", ".join(f"{word} on {SETS[s]} with every seed" for s, word in said.items() if word)


def summary(results: Results) -> str:
    """The table of one screen."""
    heads = " | ".join(f"{SETS[s]}, mean | range" for s in SCORED)
    text = f"| instead of the whole network | {heads} | in words |\n|---|---|---|---|---|---|\n"
    for row in (row for row in BLOCKS if row != WHOLE):
        columns = []
        for s in SCORED:
            values = differences(results, row, s)
            columns += [f"{np.mean(values):+.3f}", f"{min(values):+.3f} to {max(values):+.3f}"]
        text += f"| {row} | {' | '.join(columns)} | {verdict(results, row)} |\n"
    return text


def long_tables(results: Results) -> str:
    """Every run with every column, a table a set."""
    text = ""
    for of_set in SCORED:
        text += f"\n#### {SETS[of_set]}\n\n"
        text += f"| run | seed | {' | '.join(COLUMNS)} |\n{'|---' * (len(COLUMNS) + 2)}|\n"
        for row, seed in sorted(results, key=lambda key: (list(BLOCKS).index(key[0]), key[1])):
            text += f"| {row} | {seed} | {' | '.join(cells(results[row, seed][of_set]))} |\n"
    return text


def write(results: Results, steps: int, crop: int, picture: int) -> None:
    """Both tables, and how they were made."""
    seeds = sorted({seed for _, seed in results})
    whole = "whole pictures" if not picture else f"centred squares of {picture} pixels"
    made = (
        f"Differences of `total` of the network with the change and of the whole one, {steps} steps of two "
        f"{crop}-pixel crops, seed by seed ({', '.join(map(str, seeds))}); scored on {whole} of the held-out pairs. "
        "Negative: the block helps.\n\n"
    )
    for file, text in ((PAGE, made + summary(results)), (APPENDIX, long_tables(results))):
        update_between(file, MARKS, f"\n{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds train/roadscene/ir, train/roadscene/vis, ...")
    parser.add_argument("-o", "--folder", type=Path, required=True, help="where the runs go")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--crop", type=int, default=96, help="side of a crop in training  [default: 96]")
    parser.add_argument("--picture", type=int, default=0, help="score centred squares of this side  [default: all]")
    parser.add_argument("--seed", type=int, action="append", help="only this one; repeat it  [default: 5, 6 and 7]")
    parser.add_argument("--train", action="store_true", help="train and score, write no table")
    options = parser.parse_args()
    if not options.train and len({*(options.seed or SEEDS)}) < 2:
        parser.error("a table of one seed says nothing: give --seed twice, or --train")
    torch.set_num_threads(1)
    data, results = options.data.resolve() / "train", {}
    for seed in options.seed or SEEDS:
        for number, (row, changes) in enumerate(BLOCKS.items()):
            folder = options.folder.resolve() / f"{options.crop}x{options.steps}" / f"block{number}-seed{seed}"
            train([*settings(seed, options.crop), *changes], data, folder, options.steps)
            results[row, seed] = scores_of(folder, data, options.picture)
            print(row, seed, {s: round(results[row, seed][s]["total"], 3) for s in SCORED}, flush=True)
    if not options.train:
        write(results, options.steps, options.crop, options.picture)


if __name__ == "__main__":
    main()
