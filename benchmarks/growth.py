"""How time and memory grow with the size of the picture: a plot and the figures behind it.

    python benchmarks/growth.py                                   # writes docs/growth.json and docs/growth.svg
    python benchmarks/growth.py --only small                      # cmmdl-rt alone
    python benchmarks/growth.py --draw                            # the plot again, of the figures that are there

Time and memory are for each pixel, so a flat line is linear growth. Memory is what a fresh process held at its peak
above what it held after its imports: the model, the pictures and the working memory. A small network and a full one
are measured whole and in tiles; a picture that did not fit whole, and so was tiled anyway, is left out and named.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from cmmdl.bench import Case, Plan, Row, measure, printing
from cmmdl.bench.machine import machine
from cmmdl.files.atomic import write_bytes

MEGAPIXELS = (0.1, 0.2, 0.5, 1, 2, 4, 8, 16)

FULL_MEGAPIXELS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.3)
"""Sizes of the full network."""


@dataclass(frozen=True)
class Series:
    """A line of the plot, and from where to where in megapixels it is measured."""

    name: str
    model: str
    backend: str
    tile: int | None
    least: float
    most: float

    def rows(self, megapixels: list[float]) -> list[Row]:
        sizes = [size_of(count) for count in megapixels if self.least <= count <= self.most]
        return [Row(Case(self.model, self.backend, width=w, height=h, device="cpu", tile=self.tile)) for w, h in sizes]


def size_of(megapixels: float) -> tuple[int, int]:
    """A picture of 4:3 with about so many pixels and sides that are multiples of 16."""
    unit = math.sqrt(megapixels * 1e6 / 12) / 16
    return max(1, round(4 * unit)) * 16, max(1, round(3 * unit)) * 16


def small_series(options: argparse.Namespace) -> list[Series]:
    model, tile, smallest, largest = options.small, options.small_tile, min(options.sizes), options.small_most
    return [
        Series(f"{model}, torch", model, "torch", None, smallest, largest),
        Series(f"{model}, ONNX Runtime", model, "onnxruntime", None, smallest, largest),
        Series(f"{model}, ONNX Runtime, tiles of {tile}", model, "onnxruntime", tile, tile**2 / 1e6, largest),
    ]


def full_series(options: argparse.Namespace) -> list[Series]:
    model, tile, smallest = options.full, options.full_tile, min(options.full_sizes)
    return [
        Series(f"{model}, torch", model, "torch", None, smallest, options.full_most),
        Series(f"{model}, torch, tiles of {tile}", model, "torch", tile, tile**2 / 1e6, options.full_tiled_most),
    ]


def run(series: list[Series], plan: Plan, megapixels: list[float]) -> list[dict]:
    """Measures all rows of some series in turn."""
    lines = [line.rows(megapixels) for line in series]
    rows = [row for line in lines for row in line]
    here = machine()
    measure(rows, plan, lambda text: print(text, flush=True))
    print(printing.plain(rows, here), "\n", flush=True)
    return [
        {"name": line.name, "tile": line.tile, **printing.as_dict(own, here, plan)}
        for line, own in zip(series, lines, strict=True)
    ]


def points(line: dict) -> list[tuple[float, float, float]]:
    """Megapixels, nanoseconds and bytes for each pixel, of the rows that ran as they were asked to."""
    found = []
    for row in line["rows"]:
        pixels = row["case"]["width"] * row["case"]["height"]
        summary, notes = row["summary"], [note for process in row["processes"] for note in process["notes"]]
        if summary is None or notes:
            print(f"left out: {line['name']}, {pixels / 1e6:.2f} MP: {row['failure'] or notes[0]}")
            continue
        nanoseconds = summary["seconds"]["median"] / pixels * 1e9
        found.append((pixels / 1e6, nanoseconds, (summary["bytes_above_import"] or math.nan) / pixels))
    return found


def report(lines: list[dict]) -> float:
    """A line a series: the least and most for each pixel, and the most memory; returns that of tiled ones in MiB."""
    tiled = 0.0
    for line in lines:
        found = points(line)
        if not found:
            continue
        times, sizes = [time for _, time, _ in found], [memory for _, _, memory in found]
        most = max(count * memory * 1e6 / 2**20 for count, _, memory in found)
        print(
            f"{line['name']}: {found[0][0]:.2f} to {found[-1][0]:.2f} MP, {min(times):.0f} to {max(times):.0f} ns and "
            f"{min(sizes):.0f} to {max(sizes):.0f} bytes a pixel, at most {most:.0f} MiB above the imports"
        )
        tiled = max(tiled, most) if line["tile"] else tiled
        if line["tile"] and len(found) > 1:
            (small, _, before), (large, _, after) = found[0], found[-1]
            slope = (after * large - before * small) / (large - small)
            print(f"  from {small:.2f} to {large:.2f} MP it took {slope:.0f} bytes more for each pixel more")
    return tiled


def draw(lines: list[dict], path: Path) -> None:
    import io

    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "cmmdl"
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, line in enumerate(lines):
        found = points(line)
        if not found:
            continue
        style = {"color": f"C{k}", "marker": "o", "markersize": 4, "linestyle": "--" if line["tile"] else "-"}
        left.plot([x for x, _, _ in found], [time for _, time, _ in found], label=line["name"], **style)
        right.plot([x for x, _, _ in found], [memory for _, _, memory in found], **style)
    for axes, title in ((left, "nanoseconds a pixel"), (right, "bytes a pixel, above the imports")):
        axes.set(xscale="log", yscale="log", xlabel="megapixels", title=title)
        axes.set_xticks(MEGAPIXELS, [f"{count:g}" for count in MEGAPIXELS], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    buffer = io.BytesIO()
    kind = path.suffix[1:]
    figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    write_bytes(path, buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", default="cmmdl-rt", help="the small network")
    parser.add_argument("--full", default="cmmdl-ivf", help="the full network")
    parser.add_argument("--only", choices=["small", "full"], help="measure one, keep the figures of the other")
    parser.add_argument("--sizes", type=float, nargs="+", default=list(MEGAPIXELS), help="megapixels")
    parser.add_argument(
        "--full-sizes", type=float, nargs="+", default=list(FULL_MEGAPIXELS), help="of the full network, megapixels"
    )
    parser.add_argument("--small-most", type=float, default=16, help="largest picture of the small one, megapixels")
    parser.add_argument("--full-most", type=float, default=1.3, help="largest picture of the full one, whole")
    parser.add_argument("--full-tiled-most", type=float, default=1.3, help="the same in tiles")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each size of the small one")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls in each of these processes")
    parser.add_argument("--full-rounds", type=int, default=1, help="processes of the full one, one timed call each")
    parser.add_argument("--small-tile", type=int, default=1024)
    parser.add_argument("--full-tile", type=int, default=512)
    parser.add_argument("--tiled-limit", type=float, metavar="MIB", help="fail if a tiled run takes more memory")
    parser.add_argument("--json", type=Path, default=Path("docs/growth.json"))
    parser.add_argument("--plot", type=Path, default=Path("docs/growth.svg"), help=".svg, .png or .pdf")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what the JSON file holds")
    options = parser.parse_args()
    figures = json.loads(options.json.read_text()) if (options.draw or options.only) and options.json.exists() else {}
    small = Plan(rounds=options.rounds, repeats=options.repeats)
    full = Plan(rounds=options.full_rounds, repeats=1, timeout=3600)
    kinds = (("small", small_series, small, options.sizes), ("full", full_series, full, options.full_sizes))
    for name, lines, plan, sizes in kinds:
        if not options.draw and options.only in (None, name):
            figures[name] = run(lines(options), plan, sorted(sizes))
            write_bytes(options.json, (json.dumps(figures, indent=1) + "\n").encode())
    found = [line for name in ("small", "full") for line in figures.get(name, [])]
    tiled = report(found)
    draw(found, options.plot)
    if options.tiled_limit is not None and tiled > options.tiled_limit:
        sys.exit(f"a tiled run took {tiled:.0f} MiB, more than {options.tiled_limit:g}")


if __name__ == "__main__":
    main()
