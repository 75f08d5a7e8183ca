"""The fresh process: ``python -m cmmdl.bench.worker JSON`` measures one case and prints what it found as JSON lines.

It prints ``{"first": ...}`` as soon as the first picture is fused, whose time the parent takes, and then the result; or
``{"failure": ...}``.
"""

from __future__ import annotations

import time

_begun = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from cmmdl.errors import UserError  # noqa: E402
from cmmdl.runtimes.peak import peak_bytes  # noqa: E402

if TYPE_CHECKING:
    from cmmdl.fusion.fuser import Fuser

WARM_UP = 0.5
"""Seconds of calls after the first one that are not timed; at least one call."""

LEAST = 0.5
"""Seconds of timed calls in a process, however little of its time is left; at least one call."""

MOST_CALLS = 1000
"""Timed calls in a process, at most."""

MODEL_SHARE = 1 / 3
"""Part of the time that goes to the bare model."""


def main() -> None:
    """Measures, or makes the exported file ready."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what libraries print is no result

        def tell(**message: Any) -> None:
            print(json.dumps(message), file=out, flush=True)

        task = json.loads(sys.argv[1])
        try:
            (_prepare if task.pop("prepare", False) else _measure)(task, tell)
        except UserError as error:
            tell(failure=str(error))
        except MemoryError:
            tell(failure="not enough memory; use --tile, or smaller pictures")


def _prepare(task: dict[str, Any], tell: Callable[..., None]) -> None:
    """Exports a model that this runtime needs as a file, so that the time and memory of that are not measured."""
    from cmmdl.runtimes.choice import exported_file
    from cmmdl.weights.resolving import resolve

    backend = _import_runtime(task)
    if backend != "torch":
        exported_file(resolve(task["model"]), backend, lambda text: tell(note=text))


def _measure(task: dict[str, Any], tell: Callable[..., None]) -> None:
    """Imports, loads, calls; the memory is read before the bare model has a turn."""
    import numpy as np

    backend = _import_runtime(task)
    from cmmdl.fusion.fuser import Fuser

    imported, import_peak = time.perf_counter(), peak_bytes()
    ir, vis = np.load(task["ir"]), np.load(task["vis"])
    notes: dict[str, None] = {}
    loading = time.perf_counter()
    names = ("model", "device", "precision", "threads", "tile")
    arguments = {name: task[name] for name in names} | {"backend": backend}
    fuser = Fuser(**arguments, note=notes.setdefault)
    loaded = time.perf_counter()
    fuser(ir, vis)
    first = time.perf_counter()
    tell(first=True)
    seconds, repeats = max(LEAST, task["seconds"] - (first - _begun)), task["repeats"]
    repeated(lambda: fuser(ir, vis), WARM_UP)
    calls = repeated(lambda: fuser(ir, vis), seconds * (1 - MODEL_SHARE), repeats)
    peak, device_peak = peak_bytes(), _device_peak(fuser)
    model = None if task["tile"] or notes else _bare_model(fuser, ir, vis)
    tell(
        calls=calls,
        model_calls=repeated(model, seconds * MODEL_SHARE, repeats) if model else [],
        imported=imported - _begun,
        loaded=loaded - loading,
        first_call=first - loaded,
        peak=peak,
        import_peak=import_peak,
        device_peak=device_peak,
        backend=fuser.backend.name,
        precision=fuser.backend.precision,
        threads=_threads(fuser),
        device=fuser.backend.describe(),
        notes=list(notes),
    )


def repeated(call: Callable[[], object], seconds: float, repeats: int | None = None) -> list[float]:
    """The time of each of several calls.

    Args:
        call: What is timed.
        seconds: For about so long; at least one call.
        repeats: Exactly so many calls instead.
    """
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < repeats if repeats else not times or (time.perf_counter() < end and len(times) < MOST_CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _import_runtime(task: dict[str, Any]) -> str:
    """Imports the runtime of a case; returns its name."""
    from cmmdl.runtimes.choice import BACKENDS, choose_backend

    backend = str(task["backend"])
    if backend not in BACKENDS:
        raise UserError(f"backend {backend!r} is unknown; choose from {', '.join(BACKENDS)}")
    if backend == "auto":
        backend = choose_backend(task["model"], device=task["device"], precision=task["precision"])
    if backend == "onnxruntime":
        from cmmdl.runtimes.onnxruntime import import_onnxruntime

        import_onnxruntime()
    elif backend == "openvino":
        from cmmdl.runtimes.openvino import import_openvino

        import_openvino()
    else:
        import torch  # noqa: F401
    return backend


def _bare_model(fuser: Fuser, ir: Any, vis: Any) -> Callable[[], object]:
    """The model alone, on luma that lies where it runs."""
    lumas = [fuser.to_picture(ir, "infrared").luma(), fuser.to_picture(vis, "visible").luma()]
    if fuser.backend.name != "torch":
        return lambda: fuser.backend.run(*lumas)
    import torch

    one, two = (torch.from_numpy(luma).to(fuser.device) for luma in lumas)
    kind = fuser.device.type
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(kind, lambda: None)

    def call() -> None:
        fuser.backend.run(one, two)
        wait()

    return call


def _device_peak(fuser: Fuser) -> int | None:
    """What torch took of the memory of a GPU, at most."""
    if getattr(fuser.device, "type", "cpu") != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_reserved(fuser.device)


def _threads(fuser: Fuser) -> int:
    """CPU threads that the runtime uses."""
    known = getattr(fuser.backend, "threads", None)
    if known is not None:
        return int(known)
    import torch

    return torch.get_num_threads()


if __name__ == "__main__":
    main()
