"""``cmmdl doctor``: what is installed, and what it runs on."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import click

PACKAGES = ("cmmdl", "torch", "numpy", "scipy", "pillow", "opencv-python-headless", "safetensors")
EXTRAS = {
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "train": ("accelerate", "pydantic", "tensorboard"),
    "plot": ("matplotlib",),
    "thermal": ("flyr",),
    "video": ("av",),
    "serve": ("fastapi", "uvicorn"),
}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(as_json: bool) -> None:
    """Print versions, devices, threads, instruction sets and memory: paste it into a report of a problem.

    \b
    Example:
      cmmdl doctor
    """  # noqa: D301
    rows = [*_versions(), *_extras(), *_processor(), *_gpus(), *_memory(), *_runtimes()]
    if as_json:
        click.echo(json.dumps(dict(rows), indent=2))
        return
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name.ljust(width)}  {text}")


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in PACKAGES:
        yield package, _version(package) or "not found"


def _extras() -> Iterator[tuple[str, str]]:
    """The optional parts: their versions, or the command that installs what is missing."""
    for extra, packages in EXTRAS.items():
        found = {package: _version(package) for package in packages}
        if all(found.values()):
            yield f"extra {extra}", ", ".join(f"{package} {number}" for package, number in found.items())
        else:
            missing = ", ".join(package for package, number in found.items() if not number)
            yield f"extra {extra}", f'{missing} missing: pip install "cmmdl[{extra}]"'


def _processor() -> Iterator[tuple[str, str]]:
    import torch

    from cmmdl.bench.machine import INSTRUCTIONS, processor

    name, there = processor()
    yield "cpu", name
    yield "threads", f"{torch.get_num_threads()} (change with --threads or OMP_NUM_THREADS)"
    yield "torch uses", torch.backends.cpu.get_cpu_capability()
    yield "instructions", ", ".join(there) or "none of " + ", ".join(INSTRUCTIONS)


def _gpus() -> Iterator[tuple[str, str]]:
    import torch

    from cmmdl.runtimes.device import may_have_gpu

    built = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            yield f"cuda:{index}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {built}"
    elif torch.version.cuda or torch.version.hip:
        yield "cuda", f"none found, though torch was built for {built}"
    else:
        yield "cuda", "this torch was built without it" + (", but there may be a GPU" if may_have_gpu() else "")
    if torch.backends.mps.is_available():
        yield "mps", "there, chosen automatically; --device cpu for the CPU"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        yield "xpu", torch.xpu.get_device_name(0)


def _memory() -> Iterator[tuple[str, str]]:
    from cmmdl.fusion.fuser import SHARE
    from cmmdl.runtimes.memory import BYTES_PER_PIXEL, available_bytes

    free = available_bytes("cpu")
    if free is not None:
        megapixels = SHARE * free / BYTES_PER_PIXEL / 1e6
        yield "memory free", f"{free / 2**30:.1f} GiB, pictures above {megapixels:.1f} megapixels are tiled on the CPU"


def _runtimes() -> Iterator[tuple[str, str]]:
    """What ``--backend auto`` would run each model on."""
    from cmmdl.runtimes.choice import BACKENDS, choose_backend, installed
    from cmmdl.weights.cards import available_models

    yield "runtimes", ", ".join(name for name in BACKENDS[1:] if installed(name)) or "none"
    chosen: dict[str, list[str]] = {}
    for card in available_models():
        chosen.setdefault(choose_backend(card.name), []).append(card.name)
    for backend, names in chosen.items():
        yield f"auto: {backend}", ", ".join(names)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
