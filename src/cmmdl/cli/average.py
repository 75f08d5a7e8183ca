"""``cmmdl average``: one network out of several."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="Example:  cmmdl average cmmdl-ivf runs/mine/last.safetensors -o between.safetensors --share 0.7 --share 0.3"
)
@click.argument("weights", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The safetensors file to write.")
@click.option(
    "--share",
    "shares",
    multiple=True,
    type=click.FloatRange(0),
    help="Share of each network, in order; they must add up to 1.  [default: equal]",
)
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
def command(weights: tuple[str, ...], output: Path, shares: tuple[float, ...], overwrite: bool) -> None:
    """Average the WEIGHTS, names of `cmmdl models` or files, of runs that began with the same trained weights.

    The mean of a network and of what fine-tuning made of it often keeps the strong side of each and costs no more than
    one of them. Of networks that were trained from random weights, even the same, the mean is useless.
    """
    from cmmdl.errors import UsageError, UserError
    from cmmdl.weights.averaging import average_models
    from cmmdl.weights.loading import load_model
    from cmmdl.weights.saving import save_model

    if output.suffix.lower() != ".safetensors":
        raise UsageError(f"{output}: the output's name must end in .safetensors")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists; pass --overwrite to replace it")
    if shares and len(shares) != len(weights):
        raise UsageError(f"got {len(weights)} weights and {len(shares)} --share; give one --share for each, or none")
    parts = shares or (1 / len(weights),) * len(weights)
    model = average_models([load_model(name) for name in weights], parts)
    origin = ", ".join(f"{part:g} {'/'.join(Path(name).parts[-2:])}" for part, name in zip(parts, weights, strict=True))
    save_model(model, output, {"average": origin})
    click.echo(f"{output}: the mean of {len(weights)}")
