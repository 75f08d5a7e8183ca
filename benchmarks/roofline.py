"""Where the time of inference goes, block by block, and what the processor would allow.

    python benchmarks/roofline.py                    # 640x480, float32
    python benchmarks/roofline.py --precision bf16

Each block runs alone on random maps of the whole size, in bands as in the network. Operations are those of convolutions
and matrix products; bytes are the inputs and outputs of every operator, as if nothing stayed in a cache. The two
limits are these numbers over the rates that the script measures first: a 3x3 convolution from 64 to 64 channels, and a
copy of 256 MiB.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from cmmdl.models import cmmdl_cpu
from cmmdl.models.allocator import reuse_memory
from cmmdl.models.cmmdl import CMMDL
from speed import convolution_rate, machine


class Traffic(TorchDispatchMode):
    """Adds up the bytes of every operator's inputs and outputs; views move none."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and not func.__name__.startswith("empty"):
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
            self.total += sum(t.numel() * t.element_size() for t in tensors)
        return result


def blocks(model: CMMDL, size: tuple[int, int]) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Each kind of block, how many the network has, and a call of one."""
    x, y = (torch.randn(1, 64, *size).to(memory_format=torch.channels_last) for _ in range(2))
    g1, g2 = (torch.rand(1, 64, *size).to(memory_format=torch.channels_last) for _ in range(2))
    restormer, image = model.encoder.blocks[0], torch.rand(1, 1, *size)
    several = len(model.encoder.blocks) * 2 + len(model.decoder.blocks)
    return {
        "encoder's first layer": (2, lambda: cmmdl_cpu.embed(model.encoder, image)),
        "SFCA": (several, lambda: cmmdl_cpu.attend(restormer, x)),
        "GDFN": (several, lambda: cmmdl_cpu.feed_forward(restormer, x)),
        "FDLB": (1, lambda: cmmdl_cpu.frequency_domain(model.fdlb, x, y)),
        "SDLB, and crossing": (1, lambda: cmmdl_cpu.spatial_domain(model, x, y, g1, g2)),
        "HDFFB": (1, lambda: cmmdl_cpu.refine(model.hdffb, g1, g2)),
        "decoder's last layers": (1, lambda: cmmdl_cpu.draw(model.decoder, x)),
    }


def copy_rate() -> float:
    """Bytes a second of a copy, read and written."""
    a = torch.zeros(2**26)
    b, times = torch.ones_like(a), []
    for _ in range(7):
        start = time.perf_counter()
        b.copy_(a)
        times.append(time.perf_counter() - start)
    return 8 * 2**26 / statistics.median(times)


def measure(call: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Operations, bytes, and the median of the seconds of some calls."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # operators are counted in the calling thread only
    with FlopCounterMode(display=False) as counter, Traffic() as traffic:
        call()
    torch.set_num_threads(threads)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return counter.get_total_flops(), traffic.total, statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    reuse_memory()
    torch.manual_seed(0)
    model, half = CMMDL().eval(), options.precision == "bf16"
    compute, memory = 1e9 * convolution_rate(options.precision), copy_rate()
    print(f"{machine()}\n\nConvolution {compute / 1e9:.0f} GFLOPS, copy {memory / 2**30:.1f} GiB/s\n")
    print("| block | times | GFLOP | GiB | time, s | at the convolution's rate | at the copy's rate | share |")
    print("|---|---|---|---|---|---|---|---|")
    totals = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for name, (count, call) in blocks(model, tuple(options.size)).items():
            totals.append([count * number for number in measure(call, options.repeats)])
            print(row(name, str(count), *totals[-1], compute, memory), flush=True)
    print(row("all", "", *map(math.fsum, zip(*totals, strict=True)), compute, memory))


def row(name: str, count: str, flop: float, moved: float, seconds: float, compute: float, memory: float) -> str:
    limits = flop / compute, moved / memory
    numbers = f"{flop / 1e9:.1f} | {moved / 2**30:.1f} | {seconds:.2f} | {limits[0]:.2f} s | {limits[1]:.2f} s"
    return f"| {name} | {count} | {numbers} | {100 * limits[0] / seconds:.0f} % |"


if __name__ == "__main__":
    main()
