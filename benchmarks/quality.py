"""Score weights on the test pairs of TNO and RoadScene beside the baselines and published networks.

    python benchmarks/quality.py --data ../shared/data                   # prints the tables
    python benchmarks/quality.py --data ../shared/data --write           # also docs/results.md, README.md and the cards
    python benchmarks/quality.py --data ../shared/data --write --model cmmdl-rt    # all other rows stay as they are

``--data`` holds ``test/tno/ir``, ``test/tno/vis``, ``test/roadscene/ir`` and ``test/roadscene/vis``: the 25 pairs of
TNO and 50 of RoadScene that the field tests on. Beside this file, ``boards/NAME.json`` has the mean scores of 13
published networks on them. Fused pictures are written with the min-max stretch, as the published ones were; scores are
of the ``cmmdl`` convention, ``SSIM (range 2)`` of ``cddfuse``.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from cmmdl import Fuser
from cmmdl.evaluate import Evaluation, Table, build_table, evaluate_folder, load_board, markdown
from cmmdl.files.images import write_image
from cmmdl.files.pairs import pair_folders
from cmmdl.weights.cards import TRAINED

METRICS = ["EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM"]
JUDGES = ["QCB", "QCV", "QP", "Nabf"]
BASELINES = ["mean", "max", "laplacian", "gff"]
SETS = {"tno": "TNO, 25 pairs", "roadscene": "RoadScene, 50 pairs"}
MODELS = ["cmmdl-ivf", "cmmdl-rt"]
SHORT = ["SFDFusion", "SeAFusion", "U2Fusion", "max", "laplacian"]
ROOT = Path(__file__).resolve().parents[1]
BOARDS = ROOT / "benchmarks" / "boards"
DOCS, README = ROOT / "docs" / "results.md", ROOT / "README.md"
Scores = dict[str, dict[str, float]]
MARKS = "<!-- results:begin -->", "<!-- results:end -->"

HEADER = """# Results

Measured by `python benchmarks/quality.py --data DIR --write` on the shipped weights. Our pictures and those of the
baselines are stretched to the full range, as most published ones are; the rows of published networks are their own
pictures, scored by the same evaluator. DIR holds `test/tno/ir`, `test/tno/vis`, and the same of `roadscene`.

Our networks were trained on metric terms (EN, SD, SF, MI, SCD, VIF, Qabf and SSIM are in their loss), so those columns
say less of them than of networks that were not. The second table of each set holds metrics kept out of training.
Earlier weights were scored on these pairs too, and what followed was chosen with those scores in mind: see the cards.
"""


def fuse_set(fuser: Fuser, ir: Path, vis: Path, out: Path) -> list[float]:
    """Writes the fused pictures that are missing; gives fused minus visible luma in the warmest 2 %, where infrared is
    brighter.
    """
    out.mkdir(parents=True, exist_ok=True)
    pairs, _ = pair_folders(ir, vis, out)
    warmth = []
    for pair in tqdm(pairs, desc=ir.parent.name):
        if not pair.out.exists():
            write_image(pair.out, fuser(pair.ir, pair.vis))
        paths = pair.ir, pair.vis, pair.out
        one, two, three = (torch.from_numpy(fuser.to_picture(path, "picture").luma())[0, 0] for path in paths)
        warm = one >= torch.quantile(one.flatten(), 0.98)
        if (one - two)[warm].mean() > 0:
            warmth.append((three - two)[warm].mean().item())
    return warmth


def score_set(name: str, data: Path, models: list[str], out: Path, written: bool) -> tuple[str, str, Scores]:
    """One set's tables as Markdown, a short one, and each model's scores."""
    ir, vis = (data / "test" / name / side for side in ("ir", "vis"))
    folders = {model: out / model / name for model in models}
    warmth = {} if written else {m: fuse_set(Fuser(m, stretch=True), ir, vis, folders[m]) for m in models}
    board, kept = load_board(BOARDS / f"{name}.json", "cmmdl"), [model for model in MODELS if model not in models]
    old = {method: kept_rows(name, method) for method in [*kept, *BASELINES] if kept}
    others = {method: numbers(rows[0], METRICS) for method, rows in old.items()} | board
    others |= {model: card_scores(model)[name] for model in kept}
    common = {"baselines": [] if kept else BASELINES, "stretch": True, "progress": True}
    main = evaluate_folder(folders, ir, vis, metrics=METRICS, **common)
    judges = evaluate_folder(folders, ir, vis, metrics=JUDGES, convention="paper", **common)
    other = evaluate_folder(folders, ir, vis, metrics=["SSIM"], convention="cddfuse", **common)
    text = f"\n## {SETS[name]}\n\n{first_table(markdown(main, others))}\n\n"
    text += first_table(markdown(judges, {method: numbers(rows[1], JUDGES) for method, rows in old.items()})) + "\n\n"
    text += f"Beside the {len(board)} published networks alone, each of ours by itself:\n\n"
    text += "| method | SSIM, constants for a range of 2 | warm targets kept | mean ranks |\n|---|---|---|---|\n"
    scores: Scores = {}
    for model in models:
        ranks = alone_with_board(main, model, board)
        scores[model] = means(main, model) | {"SSIM (range 2)": means(other, model)["SSIM"]}
        scores[model][f"mean rank of {len(ranks)}"] = ranks[model]
        warm = "-"
        if model in warmth:
            bright = sum(value > 0 for value in warmth[model])
            scores[model]["warm targets"] = bright / len(warmth[model])
            warm = f"{bright} of {len(warmth[model])}"
        order = ", ".join(f"{rival} {ranks[rival]:.2f}" for rival in sorted(ranks, key=ranks.__getitem__))
        text += f"| {model} | {scores[model]['SSIM (range 2)']:.3f} | {warm} | {order} |\n"
        scores[model] = {metric: round(value, 5) for metric, value in scores[model].items()}
    text += "".join(f"{old[model][2]}\n" for model in kept)
    text += (
        "\nWarm targets are kept where the warmest 2 % of infrared, in the pairs in which they are brighter than "
        "visible, stay brighter than visible in the fused picture.\n"
    )
    return text, short_table(build_table(main, others), [*MODELS, *SHORT], SETS[name]), scores


def card_scores(model: str) -> Scores:
    """What stands in a shipped model's card."""
    return dict(json.loads((TRAINED / f"{model}.json").read_text(encoding="utf-8"))["scores"])


def kept_rows(name: str, method: str) -> list[str]:
    """A method's rows of one set in docs/results.md: scores, judges, beside the published networks."""
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {SETS[name]}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith(f"| {method} |")]


def numbers(row: str, metrics: list[str]) -> dict[str, float]:
    """The scores in a row of docs/results.md."""
    values = re.findall(r"\d+\.?\d*", row.split("|", 2)[2])
    return dict(zip(metrics, map(float, values), strict=False))


def short_table(table: Table, names: list[str], title: str) -> str:
    """A few rows of a table, with their mean ranks among all of its rows."""
    lines = [f"| {title} | {' | '.join(table.metrics)} | mean rank of {len(table.names)} |"]
    lines.append("|---" * (len(table.metrics) + 2) + "|")
    for name in names:
        row = table.names.index(name)
        cells = []
        for column, value in enumerate(table.values[row]):
            bold = "**" if table.mark(row, column) == "best" else ""
            cells.append(f"{bold}{value:.{1 if value >= 10 else 2}f}{bold}")
        bold = "**" if table.mean_rank[row] == min(table.mean_rank) else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {bold}{table.mean_rank[row]:.2f}{bold} |")
    return "\n".join(lines) + "\n"


def means(evaluation: Evaluation, method: str) -> dict[str, float]:
    row = evaluation.means()[evaluation.methods.index(method)]
    return {metric: float(value) for metric, value in zip(evaluation.metrics, row, strict=True)}


def alone_with_board(evaluation: Evaluation, method: str, board: Scores) -> dict[str, float]:
    """The mean ranks of a table of the method and the published rows only."""
    index = evaluation.methods.index(method)
    ours = Evaluation(**{**vars(evaluation), "methods": (method,), "scores": evaluation.scores[index : index + 1]})
    table = build_table(ours, board)
    return dict(zip(table.names, (float(rank) for rank in table.mean_rank), strict=True))


def first_table(text: str) -> str:
    """The score table without the tables of spread and significance, our models first."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|"))
    stop = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
    head, rows = lines[start : start + 2], lines[start + 2 : stop]
    ours = [f"| {model} |" for model in MODELS]
    first = sorted(
        (row for row in rows if row.startswith(tuple(ours))), key=lambda row: ours.index(row[: row.index("|", 2) + 1])
    )
    return "\n".join([*head, *first, *(row for row in rows if row not in first)])


def update_between(file: Path, marks: tuple[str, str], text: str) -> None:
    """Replaces what stands between two marks of a text file."""
    before, rest = file.read_text(encoding="utf-8").split(marks[0])
    file.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{rest.split(marks[1])[1]}", encoding="utf-8")


def update_readme(marks: tuple[str, str], text: str) -> None:
    """Replaces what stands between two marks of the README."""
    update_between(README, marks, text)


def update_card(model: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Puts scores into the card of a shipped model."""
    card = TRAINED / f"{model}.json"
    text = json.dumps({**json.loads(card.read_text(encoding="utf-8")), "scores": scores}, indent=2)
    card.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds test/tno/ir, test/tno/vis, ...")
    parser.add_argument("--model", action="append", help="of `cmmdl models`; repeat it [default: cmmdl-ivf, cmmdl-rt]")
    parser.add_argument(
        "--out",
        type=Path,
        help="keep the fused pictures here, in a folder a model and set; those that are there are not fused again",
    )
    parser.add_argument("--written", action="store_true", help="score the pictures in --out, fuse nothing")
    parser.add_argument("--write", action="store_true", help="update docs/results.md, README.md and the models' cards")
    options = parser.parse_args()
    models = options.model or MODELS
    if options.write and (options.written or not {*models} <= {*MODELS}):
        parser.error(f"--write is for {' and '.join(MODELS)}, fused here: leave --written out")
    text, short, scores = HEADER, "", {model: {} for model in models}
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            part, table, of_set = score_set(name, options.data, models, options.out or Path(folder), options.written)
            text, short = text + part, f"{short}\n{table}"
            for model in models:
                scores[model][name] = of_set[model]
    print(text)
    print(json.dumps(scores, indent=1))
    if options.write:
        DOCS.write_text(text, encoding="utf-8")
        update_readme(MARKS, short)
        for model in models:
            update_card(model, scores[model])


if __name__ == "__main__":
    main()
