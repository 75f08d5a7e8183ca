"""Time and peak memory of the network against its plain version, same weights, each side in a process of its own.

    python benchmarks/speed.py                      # inference at 256x256 and 640x480, and one training step
    python benchmarks/speed.py --only training --rounds 5

The sides take turns. The plain side runs with the default allocator; the library's side sets its own, as its command
line does. The ratio is plain over ours, of the medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

TASKS = {
    "inference 256x256": ("infer", 256, 256),
    "inference 640x480": ("infer", 480, 640),
    "training step 4x64x64": ("train", 64, 64),
}


def worker(side: str, kind: str, height: int, width: int, repeats: int, precision: str) -> dict[str, float]:
    if side == "ours":
        from cmmdl.allocator import reuse_memory

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
    return {"seconds": statistics.median(times[1:]), "peak_mib": peak}


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


def compare(task: str, rounds: int, repeats: int, precision: str) -> str:
    sides: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        for side, results in sides.items():
            results.append(run(side, task, repeats, precision if side == "ours" else "fp32"))
    plain, ours = (statistics.median(r["seconds"] for r in results) for results in sides.values())
    memory_plain, memory_ours = (statistics.median(r["peak_mib"] for r in results) for results in sides.values())
    ratios = [p["seconds"] / o["seconds"] for p, o in zip(sides["plain"], sides["ours"], strict=True)]
    return (
        f"| {task} | {precision} | {plain:.2f} | {ours:.2f} | **{plain / ours:.2f}** "
        f"({min(ratios):.2f}-{max(ratios):.2f}) | {memory_plain:.0f} | {memory_ours:.0f} |"
    )


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
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the library's side")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        side, task, repeats, precision = options.worker
        print(json.dumps(worker(side, *TASKS[task], int(repeats), precision)))
        return
    print(f"{machine()}\n")
    print("| task | precision | plain, s | ours, s | ratio (range) | plain, MiB | ours, MiB |")
    print("|---|---|---|---|---|---|---|")
    for task in TASKS:
        if options.only in task:
            print(compare(task, options.rounds, options.repeats, options.precision), flush=True)


if __name__ == "__main__":
    main()
