"""What a GPU gives: agreement with the CPU, speed, memory, tiles when memory is short, and the training step.

    python benchmarks/gpu.py -o gpu.json                                # at most eight minutes on a CUDA device
    python benchmarks/gpu.py -o gpu.json --train configs/cmmdl-ivf.toml # the rest of the time trains this recipe
    python benchmarks/gpu.py -o gpu.json --only layout training         # these parts, the file keeps its others
    python benchmarks/gpu.py -o gpu.json --rehearse                     # small pictures, on the CPU if there is no GPU
    python benchmarks/gpu.py --table gpu.json                           # the tables of an earlier run

The parts come in order of worth, each with a limit; what was measured is written after every part. A limit is looked at
between two rows of a part. Float32 is measured twice: exact, as the library computes it, and with TF32, which cuDNN
takes for convolutions unless it is told not to.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmmdl import Fuser
from cmmdl.runtimes.pytorch import whole_float32
from cmmdl.scenes import synthetic_pair
from cmmdl.weights.loading import load_model

MODELS = ["cmmdl-ivf", "cmmdl-rt", "cmmdl-mif-rt", "laplacian", "gff"]
NETWORKS = MODELS[:3]
PRECISIONS = ["float32", "tf32", "bfloat16", "float64"]
Row = dict[str, Any]


class Machine:
    """Where it runs and how large the pictures are."""

    def __init__(self, *, rehearse: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.rehearse = rehearse
        self.small = (48, 64) if rehearse else (240, 320)
        self.sizes = [(48, 64), (136, 160)] if rehearse else [(480, 640), (1024, 1280)]
        self.repeats = 1 if rehearse else 5

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def describe(self) -> Row:
        cuda = self.device.type == "cuda"
        name = torch.cuda.get_device_name() if cuda else "no GPU"
        return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "rehearsal": self.rehearse}


def scene(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A drawn pair, ``(1, 1, H, W)`` each."""
    ir, vis = synthetic_pair(height, width)
    planes = (torch.from_numpy(picture).float().reshape(height, width, -1).mean(-1) / 255 for picture in (ir, vis))
    return tuple(plane[None, None].to(device) for plane in planes)  # type: ignore[return-value]


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """float32 without TF32, with it, or bfloat16 by autocast; float64 is a matter of the tensors."""
    with_tf32 = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=True)
    with (
        with_tf32 if name == "tf32" else whole_float32(),
        torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"),
        torch.inference_mode(),
    ):
        yield


def run(model: nn.Module, ir: Tensor, vis: Tensor, name: str) -> Tensor:
    """One fused picture."""
    dtype = torch.float64 if name == "float64" else torch.float32
    with precision(name, ir.device):
        return model.to(ir.device, dtype)(ir.to(dtype), vis.to(dtype)).double()


def parity(machine: Machine) -> Iterator[Row]:
    """Grey levels between the device and the CPU in float64, all models and precisions."""
    ir, vis = scene(*machine.small, torch.device("cpu"))
    for name in MODELS:
        exact = run(load_model(name), ir, vis, "float64")
        single = run(load_model(name), ir, vis, "float32")
        yield row_of_error(name, "float32 on the CPU", single, exact)
        for kind in PRECISIONS:
            fused = run(load_model(name), ir.to(machine.device), vis.to(machine.device), kind).cpu()
            yield row_of_error(name, kind, fused, exact)


def row_of_error(model: str, kind: str, fused: Tensor, exact: Tensor) -> Row:
    error = 255 * (fused - exact).abs()
    return {"model": model, "precision": kind, "mean": error.mean().item(), "max": error.max().item()}


def speed(machine: Machine) -> Iterator[Row]:
    """Seconds and peak memory of one picture, beside the memory that is set aside for it."""
    for height, width in machine.sizes:
        ir, vis = scene(height, width, machine.device)
        for name in NETWORKS:
            estimate = Fuser(name, backend="torch", device=machine.device).backend.bytes_per_pixel * height * width
            for kind in PRECISIONS[:3]:
                model = load_model(name)
                seconds, peak = measured(machine, partial(run, model, ir, vis, kind))
                yield {
                    "model": name, "size": f"{width}x{height}", "precision": kind, "seconds": seconds,
                    "peak_mib": peak / 2**20, "estimate_mib": estimate / 2**20,
                }  # fmt: skip


def measured(machine: Machine, call: Callable[[], Any]) -> tuple[float, float]:
    """Median seconds of a few calls after one, and the most memory that one took on the device."""
    call()
    machine.wait()
    cuda = machine.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(machine.repeats):
        begun = time.perf_counter()
        call()
        machine.wait()
        times.append(time.perf_counter() - begun)
    return statistics.median(times), torch.cuda.max_memory_allocated() if cuda else float("nan")


def tiles(machine: Machine) -> Iterator[Row]:
    """A picture that does not fit: out of memory has to end in tiles, and near what the whole picture gives."""
    height, width = machine.sizes[-1]
    ir, vis = (plane[0] for plane in scene(height, width, machine.device))
    for name in NETWORKS[:2]:
        whole = Fuser(name, backend="torch", device=machine.device)(ir, vis, depth="float32")
        notes: list[str] = []
        fuser = Fuser(name, backend="torch", device=machine.device, note=notes.append)
        limited = fuse_with_little_memory(machine, fuser, ir, vis)
        error = 255 * (limited - whole).abs()
        yield {"model": name, "notes": notes, "mean": error.mean().item(), "max": error.max().item()}


def fuse_with_little_memory(machine: Machine, fuser: Fuser, ir: Tensor, vis: Tensor) -> Tensor:
    """With a sixth of the memory that the library sets aside for it; a rehearsal fails once by itself."""
    if machine.device.type != "cuda":
        genuine, calls = fuser.backend.run, []

        def failing(ir: Any, vis: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                raise RuntimeError("out of memory (rehearsed)")
            return genuine(ir, vis)

        fuser.backend.run = failing  # type: ignore[method-assign]
        return fuser(ir, vis, depth="float32")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    needed = fuser.backend.bytes_per_pixel * ir.shape[-2] * ir.shape[-1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + needed / 6) / total)
    try:
        return fuser(ir, vis, depth="float32")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def layout(machine: Machine) -> Iterator[Row]:
    """Channels-last, as the network is built, against channels-first."""
    height, width = machine.sizes[0]
    ir, vis = scene(height, width, machine.device)
    for name in NETWORKS[:2]:
        for kind in ("float32", "bfloat16"):
            row: Row = {"model": name, "size": f"{width}x{height}", "precision": kind}
            for label, form in (("last", torch.channels_last), ("first", torch.contiguous_format)):
                model = load_model(name).to(memory_format=form)
                row[label] = measured(machine, partial(run, model, ir, vis, kind))[0]
            yield row


def training(machine: Machine) -> Iterator[Row]:
    """Milliseconds of a training step of the recipes, plain and recorded, in float32 (TF32 allowed) and bfloat16."""
    from cmmdl.training.configfile import load_config

    root = Path(__file__).resolve().parents[1] / "configs"
    for name in ("cmmdl-ivf", "cmmdl-rt"):
        for kind in ("fp32", "bf16"):
            if machine.device.type != "cuda" and kind == "bf16":
                continue
            for recorded in (False, True):
                tiny = ["data.crop=56", "data.batch=2"] if machine.rehearse else []
                tiny += ["model.width=8", "model.blocks=1"] if machine.rehearse and name == "cmmdl-ivf" else []
                config = load_config(root / f"{name}.toml", [*tiny, f"run.precision={kind}"])
                if config.run.init:  # weights of a run that need not be here
                    config = config.model_copy(update={"run": config.run.model_copy(update={"init": name})})
                row: Row = {"recipe": name, "precision": kind, "recorded": recorded and machine.device.type == "cuda"}
                yield row | {"ms": 1000 * step_seconds(machine, config, recorded=recorded)}


def step_seconds(machine: Machine, config: Any, *, recorded: bool) -> float:
    """Median seconds of a step on random crops."""
    from cmmdl.training.graph import RecordedStep
    from cmmdl.training.optim import RunningAverage, make_optimizer
    from cmmdl.training.schedule import loss_weights
    from cmmdl.training.setup import build_network
    from cmmdl.training.step import Step

    config, network = build_network(config, None)
    network = network.to(machine.device).train()
    optimizer = make_optimizer(network.parameters(), config.optim)
    average = RunningAverage(network, config.optim.ema)
    model = InPrecision(network, machine.device, config.run.precision)
    step: Any = Step(model, network, optimizer, average, config.loss, config.optim.clip)
    step = RecordedStep(step) if recorded and machine.device.type == "cuda" else step
    crop = torch.rand(4, config.data.batch, 1, config.data.crop, config.data.crop, device=machine.device)
    pictures = dict(zip(("ir", "vis", "mask", "by"), crop, strict=True))  # the last in the place of a teacher's
    weights = loss_weights(config, config.run.steps - 1)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        for _ in range(1 if machine.rehearse else 4):
            step(pictures, weights)
        return measured(machine, lambda: step(pictures, weights)["loss"].item())[0]


class InPrecision(nn.Module):
    """A network under autocast or not, as Accelerate wraps it."""

    def __init__(self, network: nn.Module, device: torch.device, kind: str) -> None:
        super().__init__()
        self.network, self.device, self.kind = network, device, kind

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.kind == "bf16"):
            return self.network(ir, vis).float()


PARTS: dict[str, tuple[Callable[[Machine], Iterator[Row]], float]] = {
    "parity": (parity, 90), "speed": (speed, 90), "tiles": (tiles, 40), "layout": (layout, 40),
    "training": (training, 90),
}  # fmt: skip
"""Each part and its limit in seconds."""


def measure(machine: Machine, out: Path, only: list[str], scale: float) -> Row:
    """All parts, one after the other, the file written after each; if only some are run, it keeps its others."""
    results: Row = json.loads(out.read_text(encoding="utf-8")) if only and out.exists() else {}
    if results and results["machine"] != machine.describe():
        raise SystemExit(f"{out} is of {results['machine']}, not of {machine.describe()}: give another file, -o")
    results["machine"] = machine.describe()
    for name, (part, limit) in PARTS.items():
        if only and name not in only:
            continue
        rows: list[Row] = []
        entry: Row = {"rows": rows, "complete": False}
        results[name], begun = entry, time.monotonic()
        try:
            for row in part(machine):
                rows.append(row)
                if time.monotonic() - begun > scale * limit:
                    break
            else:
                entry["complete"] = True
        except Exception:  # one part that fails must not cost the others
            entry["error"] = traceback.format_exc()
        entry["seconds"] = time.monotonic() - begun
        out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(f"{name}: {len(rows)} rows in {entry['seconds']:.0f} s {entry.get('error', '')}", flush=True)
    return results


def stretch_of_training(config: Path, settings: list[str], seconds: float) -> Row:
    """``cmmdl train`` of a recipe for so long; it leaves a checkpoint, from which the same command goes on."""
    overrides = [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen([sys.executable, "-m", "cmmdl", "train", str(config), *overrides])
    begun, stopped = time.monotonic(), False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        stopped = True
        process.terminate()
        process.wait()
    took = time.monotonic() - begun
    return {"config": str(config), "seconds": took, "stopped": stopped, "exit status": process.returncode}


def tables(results: Row) -> str:
    """The results as Markdown."""
    machine = results["machine"]
    text = f"{machine['device']}, PyTorch {machine['torch']}, CUDA {machine['cuda']}\n"
    for name in PARTS:
        rows = results.get(name, {}).get("rows", [])
        text += f"\n**{name}**\n\n"
        if not rows:
            text += "not measured\n"
            continue
        text += f"| {' | '.join(rows[0])} |\n{'|---' * len(rows[0])}|\n"
        for row in rows:
            text += f"| {' | '.join(f'{v:.3g}' if isinstance(v, float) else str(v) for v in row.values())} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--rehearse", action="store_true", help="small pictures and few calls")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[], help="these parts alone")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything  [default: 8]")
    parser.add_argument("--train", type=Path, help="a recipe to train with what is left of the time")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of the recipe; repeat it"
    )
    parser.add_argument("--table", type=Path, help="print the tables of an earlier run")
    options = parser.parse_args()
    if options.table:
        print(tables(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    machine, begun = Machine(rehearse=options.rehearse), time.monotonic()
    if machine.device.type == "cpu" and not options.rehearse:
        parser.error("no CUDA device is there: add --rehearse to try the program on the CPU")
    scale = min(1.0, options.minutes / 8)
    results = measure(machine, options.out, options.only, scale)
    print(tables(results))
    left = 60 * options.minutes - (time.monotonic() - begun)
    if options.train and left > 30:
        results["stretch"] = stretch = stretch_of_training(options.train, options.settings, left)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        if stretch["exit status"] and not stretch["stopped"]:
            sys.exit(f"training {options.train} ended with exit status {stretch['exit status']}")
    failed = [name for name in PARTS if "error" in results.get(name, {})]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the reason is in {options.out}")


if __name__ == "__main__":
    main()
