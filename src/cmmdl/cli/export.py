"""``cmmdl export``: a network as a file for ONNX Runtime or OpenVINO."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command("export")
@click.argument("model", metavar="NAME_OR_PATH")
@click.option("--format", "kind", type=click.Choice(["onnx", "openvino"]), help="[default: by the output's suffix]")
@click.option("-o", "--output", required=True, type=PATH, help="model.onnx, or model.xml for OpenVINO.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="float16 and int8 are for cmmdl-rt and cmmdl-mif-rt.",
)
@click.option(
    "--calibration", type=PATH, nargs=2, metavar="IR VIS", help="Folders that int8 is calibrated on. [default: scenes]"
)
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
def command(
    model: str, kind: str | None, output: Path, precision: str, calibration: tuple[Path, Path] | None, overwrite: bool
) -> None:
    """Export a model for other runtimes, with free height and width, and check that it computes what torch does.

    ONNX is one file. OpenVINO is two by its nature: model.xml and, beside it, model.bin. Use either as --model.

    \b
    Examples:
      cmmdl export cmmdl-rt -o model.onnx
      cmmdl export cmmdl-ivf --format openvino -o model.xml
      cmmdl export cmmdl-rt -o small.onnx --precision int8 --calibration data/ir data/vis
    """  # noqa: D301
    from cmmdl.errors import UserError

    kind = kind or ("openvino" if output.suffix.lower() == ".xml" else "onnx")
    outputs = [output, output.with_suffix(".bin")] if kind == "openvino" else [output]
    there = next((path for path in outputs if path.exists()), None)
    if there and not overwrite:
        raise UserError(f"{there} exists; pass --overwrite to replace it")
    from cmmdl.runtimes.export import export_model

    agreement = export_model(model, output, format=kind, precision=precision, calibration=calibration)
    size = sum(path.stat().st_size for path in outputs) / 2**20
    click.echo(f"{' and '.join(map(str, outputs))}: {size:.1f} MiB, {precision}; differs from torch {agreement}")
