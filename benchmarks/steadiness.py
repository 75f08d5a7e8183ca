"""How steady fused clips are beside their sources, with and without ``--steady``: the table of ``docs/video.md``.

python benchmarks/steadiness.py IR VIS [IR VIS ...] --every 3 --markdown steadiness.md
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from cmmdl.evaluate.clips import ClipEvaluation, evaluate_clips
from cmmdl.files.video.codecs import Encoding
from cmmdl.files.video.encoding import VideoWriter
from cmmdl.files.video.opening import RawInput, open_pair
from cmmdl.fusion.clip import ClipOptions, fuse_clips
from cmmdl.fusion.fuser import Fuser

HEAD = "| clip | | warping error | / SF | luma step | SF | Qabf |\n|---|---|---:|---:|---:|---:|---:|"


def silent(text: str) -> None:
    """Says nothing."""


def fuse(fuser: Fuser, ir: str, vis: str, out: Path, *, steady: bool) -> float:
    """Fuses a pair of clips without loss; returns the CPU time in milliseconds a frame."""
    sides = open_pair(ir, vis, RawInput(), note=silent)
    sink = VideoWriter(out, Encoding("ffv1"), sides[1].facts, sound=None, note=silent)
    begun = time.process_time()
    report = fuse_clips(fuser, *sides, sink, ClipOptions(steady=steady), note=silent)
    return (time.process_time() - begun) * 1e3 / report.count


def rows(name: str, found: ClipEvaluation) -> list[str]:
    """The sources, and both fused clips with what they lost or gained."""
    plain, lines = found.steadiness["frame by frame"], []
    score = {method: mean(found, method) for method in ("frame by frame", "--steady")}
    for side, one in found.steadiness.items():
        change = f" ({one.warping_error / plain.warping_error - 1:+.1%})" if side == "--steady" else ""
        detail = f" ({one.detail / plain.detail - 1:+.2%})" if side == "--steady" else ""
        edges = score.get(side)
        kept = f" ({edges / score['frame by frame'] - 1:+.2%})" if edges and side == "--steady" else ""
        lines.append(
            f"| {name} | {side} | {one.warping_error:.3f}{change} | {one.relative_error:.4f} | {one.luma_step:.3f} | "
            f"{one.detail:.2f}{detail} | {f'{edges:.4f}' if edges else ''}{kept} |"
        )
    return lines


def mean(found: ClipEvaluation, method: str) -> float:
    """Mean Qabf."""
    return float(found.scores.column(method, "Qabf").mean())


def main() -> None:
    """Fuses, scores, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="IR VIS")
    parser.add_argument("--model", default="cmmdl-rt")
    parser.add_argument("--every", type=int, default=1, help="score every Nth frame")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    fuser, lines = Fuser(given.model), [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for ir, vis in zip(given.clips[::2], given.clips[1::2], strict=True):
            outs = {"frame by frame": Path(folder) / "plain.mkv", "--steady": Path(folder) / "steady.mkv"}
            cpu = [fuse(fuser, ir, vis, out, steady=name == "--steady") for name, out in outs.items()]
            methods = {name: str(out) for name, out in outs.items()}
            found = evaluate_clips(methods, ir, vis, metrics=["Qabf"], every=given.every, note=silent)
            lines += rows(Path(ir).stem, found)
            print(f"{Path(ir).stem}: --steady takes {cpu[1] - cpu[0]:.0f} ms of CPU a frame more", flush=True)
            for out in outs.values():
                out.unlink()
    table = "\n".join(lines)
    print(table)
    if given.markdown:
        given.markdown.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
