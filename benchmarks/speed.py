"""Time and peak memory of the network against its plain version, same weights, each side in a process of its own.

    python benchmarks/speed.py                      # inference at 256x256 and 640x480, and one training step
    python benchmarks/speed.py --only training --rounds 5
    python benchmarks/speed.py --busy               # a quiet computer against one with a core taken, --only 640
    python benchmarks/speed.py --accuracy           # errors against the plain network in float64, --size 480 640

The sides take turns. The plain side runs with the default allocator; the library's side sets its own, as its command
line does. The time ratio is plain over ours, of the medians over rounds, the memory ratio ours over plain.

With ``--busy`` the library's side runs on two cores, in turn alone and beside a loop that is pinned to one of them.

What the processor can do is measured in the library's process, after the calls: the rate of a channels-last 3x3
convolution from 64 to 64 channels. The last column is the time that the convolutions and matrix products of the network
would take at that rate, as a share of the time measured; for inference only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

TASKS = {
    "inference 256x256": ("infer", 256, 256),
    "inference 640x480": ("infer", 480, 640),
    "training step 4x64x64": ("train", 64, 64),
}


def worker(side: str, kind: str, height: int, width: int, repeats: int, precision: str) -> dict[str, float]:
    if side == "ours":
        from cmmdl.models.allocator import reuse_memory

        reuse_memory()
    import resource
    import time

    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    from cmmdl.models.cmmdl import CMMDL
    from plain_network import PlainCMMDL

    torch.manual_seed(0)
    model = PlainCMMDL()
    if side == "ours":
        state = model.state_dict()
        model = CMMDL()
        model.load_state_dict(state)
    batch = 4 if kind == "train" else 1
    ir, vis = torch.rand(2, batch, 1, height, width)
    step = (
        training_step(model, ir, vis, precision, side) if kind == "train" else inference_step(model, ir, vis, precision)
    )
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": statistics.median(times[1:]), "peak_mib": peak, "gflops": convolution_rate(precision)}


def convolution_rate(precision: str) -> float:
    """Thousand million operations a second of a 3x3 convolution, 64 to 64 channels, on 40 rows of 640 pixels."""
    import time

    import torch
    import torch.nn.functional as F

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x, kernel = torch.randn(1, 64, 40, 640, dtype=dtype), torch.randn(64, 64, 3, 3, dtype=dtype)
    x, kernel = (t.to(memory_format=torch.channels_last) for t in (x, kernel))
    times = []
    with torch.inference_mode():
        for _ in range(30):
            start = time.perf_counter()
            F.conv2d(x, kernel, padding=1)
            times.append(time.perf_counter() - start)
    return 2 * 9 * 64 * 64 * 40 * 640 / statistics.median(times) / 1e9


def inference_step(model, ir, vis, precision):
    import torch

    model.eval()

    def step() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            model(ir, vis)

    return step


def training_step(model, ir, vis, precision, side):
    import torch

    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=side == "ours")  # as cmmdl.training does

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            fused = model(ir, vis)
        optimizer.zero_grad()
        (fused.float() - torch.maximum(ir, vis)).square().mean().backward()
        optimizer.step()

    return step


def run(side: str, task: str, repeats: int, precision: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", side, task, str(repeats), precision]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def run_busy(task: str, rounds: int, repeats: int, precision: str) -> str:
    """A row of the table of busy computers: seconds on two cores alone, and with a loop pinned to one of them."""
    allowed = os.sched_getaffinity(0)
    cores = sorted(allowed)[:2]
    os.sched_setaffinity(0, cores)  # for the processes that this one starts
    quiet, busy = [], []
    for _ in range(rounds):
        quiet.append(run("ours", task, repeats, precision)["seconds"])
        loop = subprocess.Popen(["taskset", "-c", str(cores[0]), sys.executable, "-c", "while True: pass"])
        try:
            busy.append(run("ours", task, repeats, precision)["seconds"])
        finally:
            loop.kill()
            loop.wait()
    os.sched_setaffinity(0, allowed)
    before, after = statistics.median(quiet), statistics.median(busy)
    ratios = [b / q for q, b in zip(quiet, busy, strict=True)]
    return (
        f"| {task} | {precision} | {before:.2f} | {after:.2f} "
        f"| **{after / before:.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) |"
    )


def compare(task: str, rounds: int, repeats: int, precisions: list[str]) -> list[str]:
    plain: list[dict[str, float]] = []
    ours: dict[str, list[dict[str, float]]] = {precision: [] for precision in precisions}
    for _ in range(rounds):
        plain.append(run("plain", task, repeats, "fp32"))
        for precision, results in ours.items():
            results.append(run("ours", task, repeats, precision))
    return [row(task, precision, plain, results) for precision, results in ours.items()]


def row(task: str, precision: str, plain: list[dict[str, float]], ours: list[dict[str, float]]) -> str:
    before, after = ({k: statistics.median(r[k] for r in results) for k in results[0]} for results in (plain, ours))
    ratios = [p["seconds"] / o["seconds"] for p, o in zip(plain, ours, strict=True)]
    kind, height, width = TASKS[task]
    least = operations(height, width) / 1e9 / after["gflops"]
    share = f"{100 * least / after['seconds']:.0f} %" if kind == "infer" else ""
    return (
        f"| {task} | {precision} | {before['seconds']:.2f} | {after['seconds']:.2f} "
        f"| **{before['seconds'] / after['seconds']:.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) "
        f"| {before['peak_mib']:.0f} | {after['peak_mib']:.0f} | {after['peak_mib'] / before['peak_mib']:.2f} "
        f"| {after['gflops']:.0f} | {share} |"
    )


def operations(height: int, width: int) -> float:
    """Convolutions and matrix products of inference on one pair, two operations a multiplication."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cmmdl.models.cmmdl import CMMDL

    small = torch.rand(1, 1, 64, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        CMMDL().eval()(small, small)
    return counter.get_total_flops() * height * width / small.numel()


def pair(height: int, width: int):
    """A synthetic scene: luma of both modalities, ``(1, 1, H, W)``."""
    import torch

    from cmmdl.scenes import synthetic_pair

    return [
        torch.from_numpy(image.reshape(height, width, -1).mean(-1)).float()[None, None] / 255
        for image in synthetic_pair(height, width)
    ]


def accuracy(height: int, width: int) -> None:
    """Prints how far both sides are from the plain network in float64, and bfloat16 from float32, in grey levels."""
    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    from cmmdl.models.allocator import reuse_memory
    from cmmdl.weights.loading import load_model
    from plain_network import PlainCMMDL

    reuse_memory()
    ours, plain = load_model("cmmdl-ivf").eval(), PlainCMMDL().eval()
    plain.load_state_dict(ours.state_dict())
    ours.config = replace(ours.config, border=0)  # the plain network is the released one
    ir, vis = pair(height, width)
    with torch.inference_mode():
        results = {"ours, float32": ours(ir, vis), "plain, float32": plain(ir, vis)}
        with torch.autocast("cpu", torch.bfloat16):
            half = ours(ir, vis).float()
        exact = plain.double()(ir.double(), vis.double())
    print(f"| {width}x{height}, against plain in float64 | mean, grey levels | maximum |\n|---|---|---|")
    for name, result in results.items():
        error = 255 * (result - exact).abs()
        print(f"| {name} | {error.mean():.2e} | {error.max():.2e} |")
    error = 255 * (half - results["ours, float32"]).abs()
    print(f"| bfloat16 against ours in float32 | {error.mean():.2e} | {error.max():.2e} |")
    shares = [100 * (error <= level).double().mean().item() for level in (1, 4)]
    print(f"\nbfloat16 within 1 grey level of float32: {shares[0]:.3f} %, within 4: {shares[1]:.4f} %")


def machine() -> str:
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = next(
        (line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), platform.processor()
    )
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in f"{text} "]
    return f"{name} ({', '.join(flags)}), {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run the tasks whose name contains this")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls in each process, after one untimed")
    parser.add_argument(
        "--precision", nargs="+", choices=["fp32", "bf16"], default=["fp32"], help="of the library's side"
    )
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--busy", action="store_true", help="with and without a loop on one of two cores")
    parser.add_argument("--accuracy", action="store_true", help="errors instead of times")
    parser.add_argument("--size", nargs=2, type=int, default=(480, 640), metavar=("H", "W"), help="for --accuracy")
    options = parser.parse_args()
    if options.worker:
        side, task, repeats, precision = options.worker
        print(json.dumps(worker(side, *TASKS[task], int(repeats), precision)))
        return
    print(f"{machine()}\n")
    if options.accuracy:
        accuracy(*options.size)
        return
    if options.busy:
        print("| task | precision | two cores, s | one of them taken, s | ratio (range) |\n|---|---|---|---|---|")
        for task in (task for task in TASKS if options.only in task and TASKS[task][0] == "infer"):
            for precision in options.precision:
                print(run_busy(task, options.rounds, options.repeats, precision), flush=True)
        return
    print(
        "| task | precision | plain, s | ours, s | ratio (range) | plain, MiB | ours, MiB | ratio "
        "| convolution, GFLOPS | of that rate |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for task in TASKS:
        if options.only in task:
            print(*compare(task, options.rounds, options.repeats, options.precision), sep="\n", flush=True)


if __name__ == "__main__":
    main()
