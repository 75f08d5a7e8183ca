"""Which runtime runs which model: what is asked for, or what suits it of what is there."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmmdl.errors import UnreadableError, UsageError, UserError
from cmmdl.files.images import Note
from cmmdl.runtimes import Backend
from cmmdl.runtimes.device import automatic_device, may_have_gpu
from cmmdl.weights.resolving import ExportedFile, Model, Module, Named, resolve

if TYPE_CHECKING:
    import torch
    from torch import nn

BACKENDS = ("auto", "torch", "onnxruntime", "openvino")

PRECISIONS = ("auto", "float32", "bfloat16", "float64")

FASTEST_FIRST = ("openvino", "onnxruntime")
"""The order in which ``auto`` takes the runtimes for a network that ships as an ONNX file; docs/runtimes.md has the
measured table behind it."""


def open_backend(
    model: str | Path | nn.Module,
    backend: str = "auto",
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
    threads: int | None = None,
    note: Note,
) -> Backend:
    """A model on a runtime.

    Args:
        model: A name of `available_models`, a ``.safetensors``, ``.onnx`` or ``.xml`` file, or a torch module.
        backend: ``"torch"``, ``"onnxruntime"``, ``"openvino"``, or ``"auto"``, see `choose_backend`.
        device: ``"auto"``, or any torch device; the other runtimes run on the CPU.
        precision: ``"auto"``, ``"float32"``, ``"float64"`` (torch), ``"bfloat16"`` (torch, OpenVINO).
        threads: CPU threads; ``None`` is as many as the runtime finds right.
        note: Called with a line about a network that is exported first.

    Raises:
        UserError: If the model, runtime, device or precision is unknown, not there, or they do not go together.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}")
    if backend not in BACKENDS:
        raise UsageError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}; leave it out for all cores")
    found = resolve(model)
    if backend == "auto":
        backend = choose_backend(found, device=device, precision=precision)
    if backend == "torch":
        return _torch(found, device, precision, threads, note)
    _check_cpu(backend, device, precision)
    path = exported_file(found, backend, note)
    if backend == "onnxruntime":
        from cmmdl.runtimes.onnxruntime import OnnxBackend

        return OnnxBackend(path, threads=threads)
    from cmmdl.runtimes.openvino import OpenVinoBackend

    return OpenVinoBackend(path, threads=threads, bfloat16=precision == "bfloat16")


def choose_backend(model: Any, *, device: str | torch.device = "auto", precision: str = "auto") -> str:
    """What ``backend="auto"`` stands for.

    - ``.xml`` files need OpenVINO; ``.onnx`` files run on ONNX Runtime, or on OpenVINO where only that is installed.
    - A model that ships as an ONNX file (``cmmdl-rt``, ``cmmdl-mif-rt``) runs on OpenVINO, else on ONNX Runtime, if one
      is installed, no GPU or other device than the CPU is asked for or there, and no precision that only torch has.
    - Everything else runs on torch.
    """
    found = resolve(model)
    if isinstance(found, ExportedFile):
        wants_openvino = found.openvino or precision == "bfloat16" or not installed("onnxruntime")
        return "openvino" if wants_openvino else "onnxruntime"
    wants_cpu = str(device) == "cpu" or (device == "auto" and not _has_gpu())
    if isinstance(found, Named) and found.exported and wants_cpu and precision in ("auto", "float32"):
        return next((name for name in FASTEST_FIRST if installed(name)), "torch")
    return "torch"


def installed(backend: str) -> bool:
    """Whether the package of a runtime is there; it is not imported."""
    try:
        return find_spec(backend) is not None
    except (ImportError, ValueError):
        return False


def exported_file(model: Model, backend: str, note: Note) -> Path:
    """The file that a runtime other than torch loads: the one given, the one that ships, or one made on first use.

    Raises:
        UserError: If the model is none that can be exported, or the file is for another runtime.
    """
    if isinstance(model, Module):
        raise UserError(
            f"a torch module does not run on {backend}; export it (cmmdl.runtimes.export) and give the file"
        )
    if isinstance(model, ExportedFile):
        if model.openvino and backend != "openvino":
            raise UsageError(f"{model.path}: an OpenVINO file; use --backend openvino, or export with --format onnx")
        if not model.path.is_file():
            raise UnreadableError(f"{model.path}: there is no such file; check the path")
        return model.path
    if isinstance(model, Named) and model.exported:
        return model.exported
    from cmmdl.runtimes.export.cache import cached_export

    return cached_export(model, note)


def _torch(model: Model, device: str | torch.device, precision: str, threads: int | None, note: Note) -> Backend:
    """A module, name or weights file on torch."""
    if isinstance(model, ExportedFile):
        raise UsageError(f"{model.path}: torch cannot run an exported file; use --backend onnxruntime or openvino")
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise UserError("torch is not installed: pip install torch, or give an exported file as the model") from error

    from cmmdl.runtimes.pytorch import TorchBackend
    from cmmdl.weights.loading import load_model

    module = copy.deepcopy(model.module) if isinstance(model, Module) else load_model(model)
    precision = "float32" if precision == "auto" else precision
    return TorchBackend(module, device=device, precision=precision, threads=threads, note=note)


def _check_cpu(backend: str, device: str | torch.device, precision: str) -> None:
    """Refuses what only torch can do."""
    if str(device) not in ("auto", "cpu"):
        raise UsageError(f"{backend} runs on the CPU, not on {device}; use --backend torch, or --device cpu")
    if precision == "float64" or (precision == "bfloat16" and backend == "onnxruntime"):
        raise UsageError(f"{backend} has no precision {precision}; use --backend torch, or leave out --precision")


def _has_gpu() -> bool:
    """Whether torch finds a GPU; asked only if the system may have one, since torch takes a second to import."""
    return may_have_gpu() and installed("torch") and automatic_device().type != "cpu"
