"""Time and memory of the small network on each runtime, from uint8 arrays to a uint8 array, without disk.

Each row runs in a process of its own; those without torch cannot import it. The network is `cmmdl-rt` as it is shipped,
border included, with random weights, since time does not depend on them::

    python benchmarks/runtimes.py --threads 2
    python benchmarks/runtimes.py --model cmmdl-ivf --size 256 256 --calls 3
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from cmmdl.runtimes.peak import peak_bytes

ROWS = [
    ("torch", "float32", "rt.safetensors"),
    ("torch", "bfloat16", "rt.safetensors"),
    ("onnxruntime", "float32", "float32.onnx"),
    ("onnxruntime", "int8", "int8.onnx"),
    ("openvino", "float32", "float32.onnx"),
    ("openvino", "bfloat16", "float32.onnx"),
    ("openvino", "int8", "int8.onnx"),
]
"""Runtime, what it computes in, and its file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--model", help="another model, such as cmmdl-ivf: exported in float32 and compared")
    parser.add_argument("--files", type=Path, help="folder of the exported files, kept for the next time")
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(*options.row, options)))
        return
    with TemporaryDirectory() as folder:
        files = options.files or Path(folder)
        if options.model:
            from cmmdl.runtimes.export import export_model

            export_model(options.model, files / "float32.onnx")
        elif not (files / "int8.onnx").exists():
            export(files)
        print("| runtime | precision | median | fastest | peak memory of the process | above the imports |")
        print("|---|---|---|---|---|---|")
        for backend, precision, file in ROWS:
            if options.model and precision != "float32":
                continue
            row = [backend, precision, options.model if options.model and backend == "torch" else str(files / file)]
            output = subprocess.run([sys.executable, *sys.argv, "--row", *row], capture_output=True, text=True)
            if output.returncode:
                print(f"| {backend} | {precision} | {output.stderr.strip().splitlines()[-1]} |")
                continue
            found = json.loads(output.stdout.splitlines()[-1])
            print("| {} | {} | {:.0f} ms | {:.0f} ms | {:.0f} MiB | {:.0f} MiB |".format(backend, precision, *found))


def export(files: Path) -> None:
    """The shipped network with random weights, in float32 and in 8 bits."""
    import torch

    from cmmdl.models.rt import CMMDLRT
    from cmmdl.runtimes.export import export_model
    from cmmdl.weights.loading import load_model
    from cmmdl.weights.saving import save_model

    torch.manual_seed(0)
    network = CMMDLRT(load_model("cmmdl-rt").config)  # type: ignore[arg-type]
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    files.mkdir(parents=True, exist_ok=True)
    save_model(network, files / "rt.safetensors")
    for precision in ("float32", "int8"):
        export_model(files / "rt.safetensors", files / f"{precision}.onnx", precision=precision)


def measure(backend: str, precision: str, file: str, options: argparse.Namespace) -> tuple[float, float, float, float]:
    """Median and fastest call in ms, peak memory and its part above the imports in MiB."""
    if backend == "torch":
        import torch  # noqa: F401
    else:
        sys.modules["torch"] = None  # type: ignore[assignment]
    from cmmdl import Fuser
    from cmmdl.scenes import synthetic_pair

    before = peak()
    fuser = Fuser(
        file, backend=backend, threads=options.threads, precision="bfloat16" if precision == "bfloat16" else "auto"
    )
    ir, vis = synthetic_pair(*options.size)
    seconds = []
    for _ in range(options.calls):
        start = time.perf_counter()
        fuser(ir, vis)
        seconds.append(time.perf_counter() - start)
    return 1e3 * sorted(seconds)[len(seconds) // 2], 1e3 * min(seconds), peak(), peak() - before


def peak() -> float:
    """Mebibytes that this process held at most."""
    return (peak_bytes() or 0) / 2**20


if __name__ == "__main__":
    main()
