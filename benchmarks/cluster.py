"""Throughput of ``cmmdl fuse --ray`` on this computer with one worker and with two, and the time for a million pairs.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --model cmmdl-ivf --pairs 2 --workers 1

Needs the extra ``ray``. The pairs are drawn; pictures a second are counted from the first result to the last, by the
times of the files; what comes before, Ray and the workers that start, is a column of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

MILLION = 1_000_000


def draw(folder: Path, count: int, width: int, height: int) -> None:
    """So many pairs; the infrared ones have 16 bits, so that a range is settled."""
    for side in ("ir", "vis"):
        (folder / side).mkdir()
    ir, vis = synthetic_pair(height, width, seed=1)
    for number in range(count):
        moved = np.roll(ir, 7 * number, 1).astype(np.uint16)
        write_image(folder / "ir" / f"{number:05}.png", 5000 + 4 * moved)
        write_image(folder / "vis" / f"{number:05}.png", np.roll(vis, 7 * number, 1))


def run(folder: Path, out: Path, model: str, workers: int) -> tuple[float, float]:
    """Seconds until the first result is there, and pictures a second from then on."""
    call = [sys.executable, "-m", "cmmdl", "fuse", folder / "ir", folder / "vis", "-o", out, "--model", model]
    call += ["--ray", "local", "--threads", "1", "--workers", str(workers), "--no-check", "--json"]
    start = time.time()
    done = subprocess.run([*map(str, call)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["workers"] == workers, f"there is room for {told['workers']} workers only"
    times = sorted(path.stat().st_mtime for path in out.iterdir())
    return times[0] - start, (len(times) - 1) / (times[-1] - times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cmmdl-rt")
    parser.add_argument("--size", default="1280x1024", help="width and height  [default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    os.environ |= {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    print(f"{asked.model}, {asked.pairs} pairs of {asked.size}, one thread a worker\n")
    print("| workers | until the first result, s | pictures a second | of one worker | core hours for a million |")
    print("|---|---|---|---|---|")
    first = 0.0
    with tempfile.TemporaryDirectory() as place:
        draw(Path(place), asked.pairs, width, height)
        for workers in asked.workers:
            wait, rate = run(Path(place), Path(place) / f"out{workers}", asked.model, workers)
            first = first or rate
            hours = MILLION / rate * workers / 3600
            print(f"| {workers} | {wait:.0f} | {rate:.3g} | {rate / first:.2f} | {hours:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
