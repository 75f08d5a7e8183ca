"""What the training tests share: folders of synthetic pairs, a tiny configuration, running the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner, Result

from cmmdl.cli import main
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair
from cmmdl.training.config import TrainConfig
from cmmdl.training.configfile import load_config

TINY_MODEL = {"width": 8, "blocks": 1, "heads": 2}


def write_pairs(folder: Path, count: int = 3, height: int = 72, width: int = 80) -> Path:
    """Folders ``ir`` and ``vis`` of synthetic pairs below ``folder``."""
    for name in ("ir", "vis"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for n in range(count):
        ir, vis = synthetic_pair(height, width, seed=n)
        write_image(folder / "ir" / f"scene{n}.png", ir)
        write_image(folder / "vis" / f"scene{n}.png", vis)
    return folder


def tiny_config(folder: Path, pairs: Path, *overrides: str, **tables: Any) -> TrainConfig:
    """A run of six steps of a network of 8 channels on crops of 48 pixels."""
    # fmt: off
    settings: dict[str, Any] = {
        "data": {"sources": [{"ir": pairs / "ir", "vis": pairs / "vis"}], "crop": 48, "batch": 4},
        "model": TINY_MODEL,
        "optim": {"warmup": 4, "lr": 1e-3, "ema": 0.9},
        "run": {
            "folder": folder, "steps": 6, "save_every": 2, "log_every": 2, "samples_every": 100,
            "device": "cpu", "threads": 1,
        },
    }
    # fmt: on
    for name, table in tables.items():
        settings[name] = {**settings.get(name, {}), **table}
    return load_config(None, overrides, **settings)


def train_command(pairs: Path, folder: Path, *options: str) -> list[str]:
    """``python -m cmmdl train`` with the tiny settings."""
    sets = [
        "data.crop=48", "data.batch=4", "model.width=8", "model.blocks=1", "model.heads=2",
        "run.device=cpu", "run.save_every=2", "run.threads=1", *options,
    ]  # fmt: skip
    files = ["--ir", str(pairs / "ir"), "--vis", str(pairs / "vis"), "-o", str(folder)]
    return ["-m", "cmmdl", "train", *files, *(word for text in sets for word in ("--set", text))]


def environment() -> dict[str, str]:
    """One thread, no launcher's traces."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def start(command: list[str]) -> subprocess.Popen[str]:
    """Run Python with these arguments in the background."""
    return subprocess.Popen(
        [sys.executable, *command], env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments to the end."""
    return subprocess.run([sys.executable, *command], env=environment(), text=True, capture_output=True, timeout=200)


def finish_here(command: list[str]) -> Result:
    """``-m cmmdl ...`` to the end in this process, which spares the start of another."""
    assert command[:2] == ["-m", "cmmdl"]
    return CliRunner().invoke(main, command[2:])


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 100) -> None:
    """Until a file is there; fails if the process ends before."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{path.name} never came: {process.communicate(timeout=10)}")
        time.sleep(0.005)


def relative_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Euclidean distance of two sets of tensors over the length of the first."""
    assert a.keys() == b.keys()
    floating = [name for name in a if a[name].is_floating_point()]
    distance = sum(float((a[name].double() - b[name].double()).square().sum()) for name in floating)
    return (distance / sum(float(a[name].double().square().sum()) for name in floating)) ** 0.5
