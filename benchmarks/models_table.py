"""The table of models in the README and the leaderboard, from the cards, the boards and a stopwatch.

python benchmarks/models_table.py            # prints both
python benchmarks/models_table.py --write    # writes them into README.md and docs/leaderboard.md
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path

from cmmdl import Fuser, available_models
from cmmdl.runtimes.device import cpu_name
from cmmdl.scenes import synthetic_pair
from cmmdl.weights.cards import TRAINED, ModelCard

ROOT = Path(__file__).resolve().parents[1]
BOARDS = {"tno": "TNO, 25 pairs", "roadscene": "RoadScene, 50 pairs"}
FULL = ("cmmdl-ivf", "cmmdl-mif")
"""The networks that take seconds, so that they are timed once."""
METRICS = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")


def seconds(name: str) -> float:
    """The median of three fusions of a 640x480 pair after one that is not counted; of a full network a single one."""
    fuser, (ir, vis) = Fuser(name, note=lambda text: None), synthetic_pair(480, 640)
    times = []
    for _ in range(2 if name in FULL else 4):
        start = time.perf_counter()
        fuser(ir, vis)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def rank(card: ModelCard) -> str:
    """Its mean ranks beside the published networks, of each board that it was scored on."""
    scores = card.scores or {}
    ranks = [value for data in BOARDS for key, value in scores.get(data, {}).items() if key.startswith("mean rank")]
    return " / ".join(f"{value:.2f}" for value in ranks) or "-"


def models(times: dict[str, float]) -> str:
    """The table of the README."""
    ranks = "mean rank beside 13 published networks, TNO / RoadScene"
    lines = [f"| model | task | trained on | licence | size | 640x480 | {ranks} |"]
    lines.append("|---|---|---|---|---|---|---|")
    for card in (card for card in available_models() if card.file):
        size = (TRAINED / card.file).stat().st_size / 1e6
        took = f"{times[card.name]:.2f} s" if card.name in times else "-"
        task = card.description.rstrip(".")
        trained = card.trained_on.split(",")[0].split("(")[0].strip() + " and others"
        cells = (f"[{card.name}](docs/{card.name}.md)", task, trained, card.licence, f"{size:.1f} MB", took, rank(card))
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(
        f"\nSeconds on {cpu_name()}, the runtime chosen by itself: `python benchmarks/models_table.py --write`."
    )
    return "\n".join(lines)


def leaderboard(times: dict[str, float]) -> str:
    """Every network of the boards and ours, best mean rank first, with the seconds that were measured."""
    from cmmdl.evaluate import load_board, mean_ranks

    text = [LEADERBOARD_HEAD]
    for data, title in BOARDS.items():
        board = load_board(ROOT / f"benchmarks/boards/{data}.json", "cmmdl")
        board |= {card.name: card.scores[data] for card in available_models() if card.scores and data in card.scores}
        ranks = mean_ranks([[row[metric] for metric in METRICS] for row in board.values()], [True] * len(METRICS))
        rows = sorted(zip(ranks, board, strict=True))
        text += [f"\n## {title}\n", f"| | mean rank of {len(rows)} | {' | '.join(METRICS)} | s |"]
        text.append("|---" * (len(METRICS) + 3) + "|")
        for value, name in rows:
            cells = " | ".join(f"{board[name][metric]:.4g}" for metric in METRICS)
            took = f"{times[name]:.2f}" if name in times else "not measured"
            text.append(f"| {f'**{name}**' if name in times else name} | {value:.2f} | {cells} | {took} |")
    return "\n".join(text) + "\n"


LEADERBOARD_HEAD = """# Leaderboard

Quality beside speed. Ranks are means over nine metrics, each ranked among all rows of its table (1 is best). The
published networks were run again on these pairs and scored by one evaluator; their seconds were not measured here.
Ours are at 640x480, on the processor that the README names. Written by `python benchmarks/models_table.py --write`.

To reproduce a row: fuse the test pairs with `--stretch`, then
`cmmdl evaluate RESULTS ir vis --board benchmarks/boards/tno.json`. To add one, do the same with your results and send
the JSON that `--json` writes, with the version of your code."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    times = {card.name: seconds(card.name) for card in available_models() if card.file}
    table, board = models(times), leaderboard(times)
    if not write:
        print(table, board, sep="\n\n")
        return
    readme = ROOT / "README.md"
    marks = "<!-- models:begin -->", "<!-- models:end -->"
    new = f"{marks[0]}\n\n{table}\n\n{marks[1]}"
    text = re.sub(f"{marks[0]}.*{marks[1]}", lambda _: new, readme.read_text(encoding="utf-8"), flags=re.DOTALL)
    readme.write_text(text, encoding="utf-8")
    (ROOT / "docs/leaderboard.md").write_text(board, encoding="utf-8")


if __name__ == "__main__":
    main()
