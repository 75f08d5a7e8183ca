"""How well pictures are laid on each other: known warps of real pairs, drawn scenes, landmarks; beside other tools.

    python benchmarks/alignment.py --data ../shared/data --pairs 37 --others 4 --json alignment.json

The JSON is written after each pair; a run that was interrupted goes on from it. Times are of CPU.

Half of the real pairs (every second one by name) served to tune the gate of ``cmmdl.align``; only the other half is
scored here. A warp of a real pair is known only up to how the pair lay before, so its error is given twice: against
the warp alone (plain), and against the warp combined with what the same method found on the unwarped pair. Errors are
means over the infrared picture, in pixels of the visible one. "Worse" counts, of the pairs that were off by less than
3 pixels before, those that an answer left off by one pixel more. OpenCV's multi-scale ECC and SimpleITK's Mattes mutual
information (``pip install SimpleITK``) are scored with ``--others N``; they have no gate, so nothing is refused.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cmmdl.align import Alignment, grid, register
from cmmdl.align.check import look
from cmmdl.align.geometry import inverse, middle, moved, resizing, shifting, turning
from cmmdl.files.images import read_image
from cmmdl.scenes import synthetic_pair

STRENGTHS = {"2 px, 2°": (2, 2, 0.0), "20 px, 3°, 8 %": (20, 3, 0.08), "40 px, 6°, 15 %": (40, 6, 0.15)}
"""Largest shift in pixels, rotation in degrees, change of scale."""
ELASTIC = "17 px, elastic"
LIMIT = 2.5
"""Error in pixels of a right answer to a known warp."""
NEAR = 3
"""Pixels under which a pair lay well enough before; such a pair is made worse if it is off by one more after."""

Picture = np.ndarray
Row = dict[str, Any]
Pair = tuple[str, Picture, Picture]
Places = Callable[[Picture], Picture]
"""Points of the infrared picture, ``(n, 2)`` -> where they lie on the visible one."""


@dataclass(frozen=True)
class Answer:
    """What a method says of a pair."""

    status: str
    places: Places
    seconds: float


def ours(ir: Picture, vis: Picture, warp: str | None = "affine") -> Answer:
    start = time.process_time()
    found = register(ir, vis, warp)
    return Answer(found.status, lambda points: through(found, points), time.process_time() - start)


def through(found: Alignment, points: Picture) -> Picture:
    """Points of the infrared picture on the visible one; the field is undone by iteration."""
    there = moved(found.matrix, points)
    if found.field is None:
        return there
    x, y = grid(found).places_in_ir()
    for _ in range(20):
        at = there.astype(np.float32)
        now = [cv2.remap(v, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for v in (x, y)]
        there = there + (moved(found.matrix, points) - moved(found.matrix, np.concatenate(now, axis=1)))
    return there


def grey(picture: Picture) -> Picture:
    values = picture.astype(np.float32)
    return values if values.ndim == 2 else values @ np.array([0.299, 0.587, 0.114], np.float32)


def opencv(ir: Picture, vis: Picture) -> Answer:
    """OpenCV's own multi-scale ECC (from version 5) on gradient magnitudes, affine, from plain resizing."""
    start = time.process_time()
    one, two = (edges(picture) for picture in (ir, vis))
    asked = cv2.ECCParameters()
    asked.motionType, asked.nlevels, asked.itersPerLevel = cv2.MOTION_AFFINE, 4, [100] * 4
    asked.criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-5)
    first = np.float32([[one.shape[1] / two.shape[1], 0, 0], [0, one.shape[0] / two.shape[0], 0]])
    try:
        _, found = cv2.findTransformECCMultiScale(two, one, first, asked)
    except cv2.error:
        return Answer("lost", lambda points: points, time.process_time() - start)
    matrix = inverse(np.vstack([found, [0, 0, 1]]).astype(np.float64))
    return Answer("ok", lambda points: moved(matrix, points), time.process_time() - start)


def edges(picture: Picture) -> Picture:
    smooth = cv2.GaussianBlur(grey(picture), (0, 0), 1.0)
    return cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


def simpleitk(ir: Picture, vis: Picture) -> Answer:
    """Mattes mutual information, affine, three sizes, regular step gradient descent, as its examples set it."""
    import SimpleITK as sitk  # noqa: N813

    start = time.process_time()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed, moving = (sitk.GetImageFromArray(grey(picture)) for picture in (vis, ir))
    first = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(2), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(first, inPlace=False)
    try:
        found = method.Execute(fixed, moving).GetInverse()
    except RuntimeError:
        return Answer("lost", lambda points: points, time.process_time() - start)
    taken = time.process_time() - start
    return Answer("ok", lambda points: np.array([found.TransformPoint(tuple(map(float, p))) for p in points]), taken)


def points_of(picture: Picture, count: int = 20) -> Picture:
    height, width = picture.shape[:2]
    x, y = np.meshgrid(*(np.rint(np.linspace(0, side - 1, count)) for side in (width, height)))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def warped(ir: Picture, strength: str, random: np.random.Generator) -> tuple[Picture, Places]:
    """A warped infrared picture, and where its points lay before."""
    height, width = ir.shape[:2]
    if strength != ELASTIC:
        pixels, degrees, scale = STRENGTHS[strength]
        back = some_similarity(random, (width, height), pixels, degrees, scale)
        bend = np.zeros((height, width, 2), np.float32)
    else:
        back = some_similarity(random, (width, height), 0.044 * width, 3, 0.06)
        bend = smooth_field(random, (height, width), 2.3)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    there = moved(back, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(height, width, 2) + bend
    border = cv2.BORDER_CONSTANT if random.random() < 0.5 else cv2.BORDER_REFLECT_101
    place = there.astype(np.float32)
    picture = cv2.remap(ir, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=border)

    def before(points: Picture) -> Picture:
        columns, rows = np.rint(points).astype(int).T
        return there[rows.clip(0, height - 1), columns.clip(0, width - 1)]

    return picture, before


def some_similarity(
    random: np.random.Generator, size: tuple[int, int], pixels: float, degrees: float, scale: float
) -> Any:
    way, far = random.uniform(0, 2 * np.pi), pixels * random.uniform(0.3, 1)
    turn = turning(random.uniform(-degrees, degrees), 1 + random.uniform(-scale, scale), middle(size))
    return shifting(far * np.cos(way), far * np.sin(way)) @ turn


def smooth_field(random: np.random.Generator, shape: tuple[int, int], size: float) -> Picture:
    """A field of this root mean square, over an eighth of the width smooth."""
    field = random.normal(size=(*shape, 2)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), shape[1] / 8, borderType=cv2.BORDER_REFLECT)
    return field * (size / np.sqrt((field**2).sum(axis=2).mean()))


def real_pairs(data: Path, count: int) -> list[Pair]:
    """The half of the pairs that tuned nothing, evenly thinned."""
    found = []
    for place in ("test/roadscene", "test/tno"):
        paths = sorted((data / place / "ir").iterdir())[1::2]
        found += [(path, next((data / place / "vis").glob(f"{path.stem}.*"))) for path in paths]
    chosen = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).astype(int))]
    return [(ir.stem, read_image(ir, note=str), read_image(vis, note=str)) for ir, vis in chosen]


def drawn_pairs(count: int) -> list[Pair]:
    return [(f"scene {seed}", *synthetic_pair(384, 512, seed)) for seed in range(count)]


def error(answer: Answer, ir: Picture, before: Places, base: Places) -> float:
    """Mean distance over points that lay inside, between where they are taken and where they belong."""
    points = points_of(ir)
    there = before(points)
    inside = ((there >= 0) & (there <= [ir.shape[1] - 1, ir.shape[0] - 1])).all(axis=1)
    return float(np.linalg.norm(answer.places(points) - base(there), axis=1)[inside].mean())


def known_warps(
    number: int, pair: Pair, method: Callable[..., Answer], *, exact: bool, warp: str | None = None
) -> Iterator[Row]:
    """Scores a method on all strengths of one pair."""
    name, ir, vis = pair
    random = np.random.default_rng(number)
    ask = method if warp is None else lambda a, b: ours(a, b, warp)
    base = (lambda points: points) if exact else ask(ir, vis).places
    for strength in (*STRENGTHS, ELASTIC):
        picture, before = warped(ir, strength, random)
        answer = ask(picture, vis)
        points = points_of(ir)
        yield {
            "pair": name,
            "strength": strength,
            "status": answer.status,
            "error": error(answer, ir, before, base),
            "plain": error(answer, ir, before, lambda points: points),
            "before": float(np.linalg.norm(before(points) - points, axis=1).mean()),
            "seconds": answer.seconds,
        }


def narrow_fields(number: int, pair: Pair) -> Iterator[Row]:
    """Scores pairs of which one sees a part of what the other sees; the infrared picture is 160 pixels wide.

    The truth is what was found on the whole pair, so pairs where that is not sure are left out.
    """
    name, ir, vis = pair
    base = register(ir, vis, "affine")
    random = np.random.default_rng(number)
    if not base.ok:
        return
    for share, side in ((0.7, "infrared"), (0.5, "infrared"), (0.7, "visible"), (0.5, "visible")):
        whole = np.eye(3)
        part, cut = cropped(ir if side == "infrared" else vis, share, random)
        one, two, from_one, to_two = (part, vis, cut, whole) if side == "infrared" else (ir, part, whole, inverse(cut))
        small = (160, round(160 * one.shape[0] / one.shape[1]))
        from_one = from_one @ resizing(small, one.shape[1::-1])
        one = cv2.resize(one, small, interpolation=cv2.INTER_AREA)
        answer = ours(one, two)
        points = points_of(one)
        truth = moved(to_two @ base.matrix @ from_one, points)
        seen = ((truth >= 0) & (truth <= [two.shape[1] - 1, two.shape[0] - 1])).all(axis=1)
        off, plain = (
            float(np.linalg.norm(places - truth, axis=1)[seen].mean())
            for places in (answer.places(points), moved(resizing(small, two.shape[1::-1]), points))
        )
        row = {"pair": name, "strength": f"{side} {share:g} as wide", "status": answer.status, "error": off}
        yield row | {"before": plain, "seconds": answer.seconds}


def cropped(picture: Picture, share: float, random: np.random.Generator) -> tuple[Picture, Any]:
    """A part of a picture somewhere in it, and the matrix from its pixels to those of the whole."""
    height, width = (round(share * side) for side in picture.shape[:2])
    left, top = (
        round(random.uniform(0.2, 0.8) * (whole - part))
        for whole, part in zip(picture.shape[1::-1], (width, height), strict=True)
    )
    return np.ascontiguousarray(picture[top : top + height, left : left + width]), shifting(left, top)


def landmarks(data: Path, method: Callable[..., Answer]) -> Iterator[Row]:
    """Scores a method on real pairs with landmarks."""
    for path in sorted((data / "unregistered").glob("*.json")):
        truth = {side: np.array(points) for side, points in json.loads(path.read_text()).items()}
        ir, vis = (read_image(data / "unregistered" / side / f"{path.stem}.png", note=str) for side in ("ir", "vis"))
        answer = method(ir, vis)
        off = np.linalg.norm(answer.places(truth["ir"]) - truth["vis"], axis=1).mean()
        yield {
            "pair": path.stem,
            "status": answer.status,
            "error": float(off),
            "before": float(np.linalg.norm(truth["ir"] - truth["vis"], axis=1).mean()),
            "width": vis.shape[1],
            "seconds": answer.seconds,
        }


def odd_pairs(pairs: list[Pair]) -> Iterator[Row]:
    """What is said of right pairs, mirrored ones and pairs of two scenes, and how long it takes."""
    for number, (name, ir, vis) in enumerate(pairs):
        other = pairs[(number + 7) % len(pairs)][1]
        for kind, shown in (("as they are", ir), ("mirrored", np.ascontiguousarray(ir[:, ::-1])), ("foreign", other)):
            start = time.process_time()
            found = register(shown, vis)
            middle = time.process_time()
            seen = look(shown, vis)
            taken = {"register seconds": middle - start, "look seconds": time.process_time() - middle}
            yield {"pair": name, "kind": kind, "register": found.verdict(), "look": seen.verdict} | taken


def rates(rows: list[Row]) -> dict[str, Any]:
    """Right, refused and wrong shares, and errors of the answers that were given."""
    given = [row for row in rows if row["status"] == "ok"]
    errors = np.array([row["error"] for row in given] or [np.nan])
    worse = sum(row["error"] > row["before"] + 1 and row["before"] < NEAR for row in given)
    return {
        "pairs": len(rows),
        "right": sum(row["error"] < LIMIT for row in given) / len(rows),
        "refused": 1 - len(given) / len(rows),
        "wrong": sum(row["error"] >= LIMIT for row in given) / len(rows),
        "above 5 px": sum(row["error"] >= 5 for row in given) / len(rows),
        "median": float(np.median(errors)),
        "median plain": float(np.median([row.get("plain", row["error"]) for row in given] or [np.nan])),
        "near": sum(row["before"] < NEAR for row in rows),
        "worse": worse,
        "seconds": float(np.median([row["seconds"] for row in rows])),
        "most seconds": max(row["seconds"] for row in rows),
    }


def table(name: str, rows: list[Row], key: str) -> dict[str, Any]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    found = {group: rates(members) for group, members in groups.items()}
    print(f"\n{name}\n\n| | pairs | right | refused | wrong | > 5 px | worse | median px | plain px | CPU s, most |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for group, of in found.items():
        shares = " | ".join(f"{100 * of[share]:.0f} %" for share in ("right", "refused", "wrong", "above 5 px"))
        sizes = f"{of['median']:.2f} | {of['median plain']:.2f} | {of['seconds']:.2f}, {of['most seconds']:.2f}"
        worse = f"{of['worse']} of {of['near']}" if of["near"] else "none near"
        print(f"| {group} | {of['pairs']} | {shares} | {worse} | {sizes} |", flush=True)
    return found


def print_landmarks(name: str, rows: list[Row]) -> None:
    print(f"\n{name}\n\n| pair | status | before | after | of the width | CPU s |")
    print("|---|---|---:|---:|---:|---:|")
    for row in rows:
        share = 100 * row["error"] / row["width"]
        sizes = f"{row['before']:.1f} | {row['error']:.2f} | {share:.2f} % | {row['seconds']:.2f}"
        print(f"| {row['pair']} | {row['status']} | {sizes} |", flush=True)


def print_odd(rows: list[Row]) -> None:
    print("\n| pairs | said by | what | CPU s, most |\n|---|---|---|---:|")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        members = [row for row in rows if row["kind"] == kind]
        for who in ("register", "look"):
            counts = Counter(row[who] for row in members).most_common()
            said = ", ".join(f"{count} `{verdict}`" for verdict, count in counts)
            taken = [row[f"{who} seconds"] for row in members]
            print(f"| {kind} | `{who}` | {said} | {np.median(taken):.3f}, {max(taken):.3f} |", flush=True)


class Results:
    """Rows of each section, in a JSON file that is written after each pair."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[str, list[Row]] = json.loads(path.read_text()) if path and path.exists() else {}

    def section(self, name: str, pairs: list[Pair], score: Callable[[int, Pair], Iterator[Row]]) -> list[Row]:
        """Scores the pairs that are not there yet; returns all rows."""
        rows = self.rows.setdefault(name, [])
        for number, pair in enumerate(pairs):
            if not any(row["pair"] == pair[0] for row in rows):
                rows += score(number, pair)
                self.write()
        return rows

    def whole(self, name: str, score: Callable[[], Iterator[Row]]) -> list[Row]:
        """A section that is scored at once."""
        if name not in self.rows:
            self.rows[name] = list(score())
            self.write()
        return self.rows[name]

    def write(self) -> None:
        if self.path:
            self.path.write_text(json.dumps(self.rows, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pairs", type=int, default=20, help="real pairs (default 20)")
    parser.add_argument("--scenes", type=int, default=6, help="drawn scenes (default 6)")
    parser.add_argument("--others", type=int, default=0, metavar="N", help="score OpenCV and SimpleITK on N pairs too")
    parser.add_argument("--json", type=Path, help="write all rows here, and go on from those that are there")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    pairs, scenes, results = real_pairs(given.data, given.pairs), drawn_pairs(given.scenes), Results(given.json)
    methods: dict[str, Callable[..., Answer]] = {"cmmdl": ours}
    if given.others:
        methods |= {"OpenCV ECC": opencv, "SimpleITK Mattes": simpleitk}
    for name, method in methods.items():
        title = f"{name}, landmarks"
        print_landmarks(title, results.whole(title, lambda method=method: landmarks(given.data, method)))
    for name, method in methods.items():
        title, some = f"{name}, real pairs", pairs if method is ours else pairs[: given.others]
        rows = results.section(title, some, lambda *one, method=method: known_warps(*one, method, exact=False))
        table(title, rows, "strength")
    rows = results.whole("odd pairs", lambda: odd_pairs(pairs))
    print_odd(rows)
    title = "cmmdl, fields of view"
    table(title, results.section(title, pairs, narrow_fields), "strength")
    title = "cmmdl elastic, real pairs"
    table(
        title,
        results.section(title, pairs, lambda *one: known_warps(*one, ours, exact=False, warp="elastic")),
        "strength",
    )
    title = "cmmdl, drawn scenes"
    table(title, results.section(title, scenes, lambda *one: known_warps(*one, ours, exact=True)), "strength")


if __name__ == "__main__":
    main()
