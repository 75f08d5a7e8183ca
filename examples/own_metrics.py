"""Scores of your own results beside a baseline: python examples/own_metrics.py FUSED_FOLDER IR_FOLDER VIS_FOLDER"""

import sys

from cmmdl.evaluate import evaluate_folder, markdown


def main(fused: str, ir: str, vis: str) -> None:
    result = evaluate_folder({"ours": fused}, ir, vis, metrics=["EN", "SF", "Qabf", "VIF"], baselines=["max"])
    print(markdown(result))
    for name in result.methods:
        print(f"{name}: Qabf {result.summary(name, 'Qabf').mean:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
