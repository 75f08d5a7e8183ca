"""Score the medical networks on the held-out cases of MRI with CT, PET and SPECT beside the methods without weights.

    python benchmarks/quality_medical.py --data ../shared/data            # prints the tables
    python benchmarks/quality_medical.py --data ../shared/data --write     # also the document, README and cards

``--data`` holds ``train/harvard_mri_ct/mri``, ``train/harvard_mri_ct/ct`` and so on; the cases are those of
``configs/validation-medical.txt``. Scores are of the ``cmmdl`` convention on the luma of the pictures as they are
written, not stretched. The hue error is the mean angle between the chroma of the fused and of the coloured picture,
over the pixels with at least a tenth of the largest chroma that have a hue in both; beside it stands the share of the
coloured picture's chroma that the fused one has kept. The figures of CDDFuse are published ones, of other pictures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmmdl import Fuser
from cmmdl.evaluate import Evaluation, evaluate_folder, markdown
from cmmdl.files import colour
from cmmdl.files.images import read_image, write_image
from cmmdl.files.pairs import Pair, pair_folders
from cmmdl.training.data import read_luma, read_stems
from quality import BASELINES, JUDGES, METRICS, first_table, means, update_card, update_readme

SETS = {"ct": "MRI-CT", "pet": "MRI-PET", "spect": "MRI-SPECT"}
CDDFUSE = {
    "ct": "EN 4.88, SD 79.2, SF 38.1, MI 2.61, SCD 1.41, VIF 0.61, Qabf 0.68, SSIM (range 2) 1.34",
    "pet": "EN 4.23, SD 70.7, SF 29.6, MI 2.03, SCD 1.69, VIF 0.71, Qabf 0.71, SSIM (range 2) 1.49",
    "spect": "EN 3.90, SD 58.3, SF 20.9, MI 2.49, SCD 1.35, VIF 0.97, Qabf 0.78, SSIM (range 2) 1.48",
}
"""Published: Zhao et al., CDDFuse, CVPR 2023."""

LOOKS = {
    "rise": ".2f",
    "correlation with the MRI": ".3f",
    "correlation with the other": ".3f",
    "brightest of the black": ".0f",
    "hue error": ".2f",
    "chroma kept": ".3f",
}
"""What the tables of metrics do not say, and how it is printed: see the head of the page."""

ROOT = Path(__file__).resolve().parents[1]
STEMS = ROOT / "configs" / "validation-medical.txt"
DOCS = ROOT / "docs" / "results-medical.md"
MARKS = "<!-- medical:begin -->", "<!-- medical:end -->"
MODELS = ["cmmdl-mif", "cmmdl-mif-rt"]

HEADER = """# Results: medical pictures

Measured by `python benchmarks/quality_medical.py --data DIR --write` on the cases that training left out: 11, 28, 30
and 34, listed in [validation-medical.txt](../configs/validation-medical.txt). MRI-PET has three cases, of which one is
held out. Pictures are scored as written, without a stretch; the best of a column is bold, the second underlined.

Rise: where CT, PET or SPECT is brighter than the MRI by a fifth of the range, by what share of the difference the fused
luma rises. Brightest of the black: the highest level of the result where both sources have at most 2. The hue error is
in degrees.

The networks were trained on metric terms (SF, MI, SCD, VIF, Qabf and SSIM are in the losses of both, EN in that of
`cmmdl-mif`, SD in that of `cmmdl-mif-rt`), so those columns say less of them than of the others. The second table of
each set holds metrics kept out of training.
"""


def held_out(folder: Path, out: Path) -> Path:
    """The held-out pictures of one side in a folder of their own."""
    out.mkdir(parents=True)
    stems = read_stems(STEMS)
    for path in sorted(folder.iterdir()):
        if path.stem in stems:
            shutil.copy(path, out)
    return out


def chroma(path: Path) -> NDArray[np.float64]:
    """``(2, H, W)``, grey is 0."""
    picture = np.atleast_3d(read_image(path)).astype(np.float64) / 255
    rgb = np.broadcast_to(picture, (*picture.shape[:2], 3)).transpose(2, 0, 1)
    return colour.rgb_to_ycbcr(rgb)[1:] - 0.5


def hue_error(fused: Path, source: Path) -> float:
    """Mean angle in degrees between the chroma of both; NaN for a grey source."""
    a, b = chroma(fused), chroma(source)
    strength = np.hypot(*b)
    seen = np.hypot(*a) > 0
    where = seen & (strength >= 0.1 * strength.max()) if strength.max() > 0.02 else np.zeros_like(strength, bool)
    angle = np.arctan2(a[0] * b[1] - a[1] * b[0], (a * b).sum(0))
    return float(np.degrees(np.abs(angle[where])).mean()) if where.any() else float("nan")


def chroma_kept(fused: Path, source: Path) -> float:
    """Sum of the fused picture's chroma over that of the coloured one; NaN for a grey source."""
    a, b = (float(np.hypot(*chroma(path)).sum()) for path in (fused, source))
    return a / b if b > 0 else float("nan")


def rise(fused: Path, mri: Path, other: Path) -> float:
    """How far the fused luma goes from the MRI's to the other's where that is brighter by a fifth of the range; NaN if
    that is nowhere.
    """
    of_fused, of_mri, of_other = (read_luma(path) / 255.0 for path in (fused, mri, other))
    where = of_other - of_mri > 0.2
    return float((of_fused - of_mri)[where].mean() / (of_other - of_mri)[where].mean()) if where.any() else float("nan")


def mean_of(values: Iterable[float], digits: int = 2) -> float:
    """Rounded; NaNs are left out."""
    return round(float(np.nanmean(list(values))), digits)


def score_set(fusers: dict[str, Fuser], name: str, data: Path, work: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """One set's tables as Markdown, and the scores of each model."""
    mri, other = (held_out(data / "train" / f"harvard_mri_{name}" / side, work / side) for side in ("mri", name))
    fused, pairs = {model: work / model for model in fusers}, {}
    for model, fuser in fusers.items():
        fused[model].mkdir()
        pairs[model], _ = pair_folders(mri, other, fused[model])
        for pair in pairs[model]:
            write_image(pair.out, fuser(pair.ir, pair.vis))
    common = {"baselines": BASELINES, "progress": True}
    main = evaluate_folder(fused, mri, other, metrics=METRICS, **common)
    judges = evaluate_folder(fused, mri, other, metrics=JUDGES, convention="paper", **common)
    range2 = evaluate_folder(fused, mri, other, metrics=["SSIM"], convention="cddfuse", progress=True)
    count = len(next(iter(pairs.values())))
    text = f"\n## {SETS[name]}, {count} pairs\n\n{first_table(markdown(main))}\n\n{first_table(markdown(judges))}\n"
    text += f"\n| method | SSIM, constants for a range of 2 | {' | '.join(LOOKS)} |\n{'|---' * (len(LOOKS) + 2)}|\n"
    scores = {}
    for model in fusers:
        scores[model] = {metric: round(value, 5) for metric, value in means(main, model).items()} | {"pairs": count}
        scores[model]["SSIM (range 2)"] = round(means(range2, model)["SSIM"], 5)
        seen = looks(pairs[model], coloured=name != "ct")
        cells = [f"{seen[look]:{form}}" if look in seen else "-" for look, form in LOOKS.items()]
        text += f"| {model} | {scores[model]['SSIM (range 2)']:.3f} | {' | '.join(cells)} |\n"
        scores[model] |= seen
    text += "".join(f"\n{verdict(main, model)}\n" for model in fusers)
    return text + f"\nCDDFuse (medical) on pictures of its own: {CDDFUSE[name]}.\n", scores


def looks(pairs: list[Pair], *, coloured: bool) -> dict[str, float]:
    """What the tables of metrics do not say: see the head of the page."""
    seen = {
        "rise": mean_of(rise(pair.out, pair.ir, pair.vis) for pair in pairs),
        "correlation with the MRI": mean_of((correlation(pair.out, pair.ir) for pair in pairs), 3),
        "correlation with the other": mean_of((correlation(pair.out, pair.vis) for pair in pairs), 3),
        "brightest of the black": max(brightest_of_black(pair.out, pair.ir, pair.vis) for pair in pairs),
    }
    if coloured:
        seen["hue error"] = mean_of(hue_error(pair.out, pair.vis) for pair in pairs)
        seen["chroma kept"] = mean_of((chroma_kept(pair.out, pair.vis) for pair in pairs), 3)
    return seen


def correlation(fused: Path, source: Path) -> float:
    """Of the luma of both."""
    return float(np.corrcoef(read_luma(fused).ravel(), read_luma(source).ravel())[0, 1])


def brightest_of_black(fused: Path, mri: Path, other: Path) -> int:
    """The highest level of the result where both sources have at most 2; 0 if that is nowhere."""
    of_fused, of_mri, of_other = (read_luma(path) for path in (fused, mri, other))
    return int(of_fused[np.maximum(of_mri, of_other) <= 2].max(initial=0))


def verdict(evaluation: Evaluation, model: str) -> str:
    """Whether a model leads the simple methods in Qabf, VIF and SSIM together."""
    ours, wanted = means(evaluation, model), ("Qabf", "VIF", "SSIM")
    rivals = {name: means(evaluation, name) for name in ("mean", "max", "laplacian")}
    lost = [f"{m} to {name}" for name, scores in rivals.items() for m in wanted if scores[m] >= ours[m]]
    but = f", but for {', '.join(lost)}" if lost else ""
    return f"Beside mean, max and laplacian, {model} leads in Qabf, VIF and SSIM{but}."


def short_table(text: str) -> str:
    """The first table of every set, for the README."""
    parts = []
    for part in text.split("\n## ")[1:]:
        title, table = part.splitlines()[0], first_table(part)
        parts.append(table.replace("| method |", f"| {title} |", 1))
    return "\n\n".join(parts)


def label(model: str) -> str:
    """What a model is called in the tables: a file by its own and its folder's name."""
    return model if model in MODELS else "-".join(Path(model).with_suffix("").parts[-2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds train/harvard_mri_ct/mri, ...")
    parser.add_argument("--model", action="append", help=f"a name or a weights file; repeat it  [default: {MODELS}]")
    parser.add_argument("--write", action="store_true", help="update docs/results-medical.md, README.md and the cards")
    options = parser.parse_args()
    models = options.model or MODELS
    if options.write and models != MODELS:
        parser.error(f"--write is for {' and '.join(MODELS)}, whose cards and pages it updates")
    fusers = {label(model): Fuser(model, backend="torch") for model in models}
    if len(fusers) < len(models) or {*fusers} & {*BASELINES}:
        parser.error(f"{', '.join(fusers)}: give models of different names, and no baseline")
    text, scores = HEADER, {model: {} for model in fusers}
    for name in SETS:
        with tempfile.TemporaryDirectory() as folder:
            part, of_set = score_set(fusers, name, options.data, Path(folder))
        text += part
        for model, own in of_set.items():
            scores[model][SETS[name]] = own
    print(text)
    print(json.dumps(scores, indent=1))
    if options.write:
        DOCS.write_text(text, encoding="utf-8")
        update_readme(MARKS, f"\n{short_table(text)}\n")
        for model, own in scores.items():
            update_card(model, own)


if __name__ == "__main__":
    main()
