"""``cmmdl convert``: the authors' checkpoint to safetensors."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example:  cmmdl convert CMMDL_IVF.pth -o cmmdl-authors.safetensors")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The safetensors file to write.")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
def command(checkpoint: Path, output: Path, overwrite: bool) -> None:
    """Convert a CHECKPOINT (.pth) of the released CMMDL program for use as --model FILE.

    The file is read as plain tensors: no code in it is run. Every parameter is accounted for: those that the released
    program never uses are dropped by name, and an unknown or missing one is an error.
    """
    from cmmdl.errors import UsageError, UserError
    from cmmdl.weights.released import UNUSED_KINDS, from_released, read_released
    from cmmdl.weights.saving import save_model

    if output.suffix.lower() != ".safetensors":
        raise UsageError(f"{output}: the output's name must end in .safetensors")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists; pass --overwrite to replace it")
    try:
        model, dropped = from_released(read_released(checkpoint))
    except UserError as error:
        message = str(error)
        raise UserError(message if str(checkpoint) in message else f"{checkpoint}: {message}") from error
    save_model(model, output, {"source": checkpoint.name})
    count = sum(parameter.numel() for parameter in model.parameters())
    click.echo(f"{output}: {count:,} parameters")
    kinds = ", ".join(kind for kind in UNUSED_KINDS if any(kind in key for key in dropped))
    click.echo(f"dropped {len(dropped)} entries that the released program never uses: {kinds}")
