"""``cmmdl train``: train or fine-tune on folders of pairs."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from cmmdl.cli.exit_codes import INTERRUPTED, NOTHING_DONE, TERMINATED
from cmmdl.cli.ranges import range_options

FOLDER = click.Path(path_type=Path)
SMALL_STEPS = 5000


@click.command("train")
@click.argument("config", required=False, type=FOLDER)
@click.option("--ir", type=FOLDER, help="Infrared pictures to train on.")
@click.option("--vis", type=FOLDER, help="Visible pictures with the same file stems.")
@click.option("--val-ir", type=FOLDER, help="Infrared pictures to score while training.")
@click.option("--val-vis", type=FOLDER, help="Visible pictures to score while training.")
@click.option(
    "--ir-name", default="", metavar="'IR_*'", help="Names of infrared files; the star is what a pair shares."
)
@click.option("--vis-name", default="", metavar="'RGB_*'", help="Names of visible files.")
@click.option("--recursive", is_flag=True, help="Pair the folders below too, each with that of the same name.")
@range_options(default=None)
@click.option("--init", metavar="NAME_OR_PATH", help="Weights to start from: a name from `cmmdl models` or a file.")
@click.option("-o", "--folder", type=FOLDER, help="Run folder [default: runs/NAME_OF_CONFIG].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, e.g. optim.lr=3e-4.")
@click.option("--accept-changes", is_flag=True, help="Continue a run although its settings have changed.")
@click.option("--show-config", is_flag=True, help="Print the settings as JSON and stop.")
def command(
    config: Path | None,
    overrides: tuple[str, ...],
    accept_changes: bool,
    show_config: bool,
    **options: Any,
) -> None:
    """Train a network on folders of registered pairs; the same command continues what was interrupted.

    Without a configuration it is the small network, 5000 steps, in an hour or so on a laptop; with --init the
    network of those weights. How much memory and time a run takes is said at its start.

    \b
    Examples:
      cmmdl train --ir data/ir --vis data/vis
      cmmdl train configs/cmmdl-ivf.toml --set optim.lr=3e-4 --val-ir val/ir --val-vis val/vis
      cmmdl train --ir data/ir --vis data/vis --init cmmdl-ivf -o runs/mine --set run.steps=2000
      accelerate launch --multi_gpu --num_processes 2 -m cmmdl train configs/cmmdl-ivf.toml
    """  # noqa: D301
    from cmmdl.errors import UserError
    from cmmdl.files.images import quiet_decoders
    from cmmdl.models.allocator import reuse_memory

    try:
        from cmmdl.training.configfile import load_config
        from cmmdl.training.loop import train
    except ModuleNotFoundError as error:
        raise UserError(f'training needs {error.name}: pip install "cmmdl[train]"') from None
    given = tables(**options)
    settings = load_config(config, overrides, **(given if config else small(given, overrides)))
    if show_config:
        click.echo(settings.model_dump_json(indent=2))
        return
    reuse_memory()
    quiet_decoders()
    outcome = train(settings, accept_changes=accept_changes)
    if outcome.main and outcome.finished:
        mean = f", the mean of steps {', '.join(map(str, outcome.ends))}" if outcome.ends else ""
        click.echo(f"{outcome.weights}: {outcome.step} steps{mean}")
    elif outcome.main:
        click.echo(f"stopped after step {outcome.step}; run the same command to continue", err=True)
    if not outcome.finished:
        codes = {int(signal.SIGTERM): TERMINATED, int(signal.SIGINT): INTERRUPTED}
        sys.exit(codes.get(outcome.signal, NOTHING_DONE))


def small(given: dict[str, dict[str, Any]], overrides: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What is trained where no configuration says it: the small network, in an hour or so on a laptop.

    Settings of the model, or weights to start from, mean the network that they are of.
    """
    run = {"steps": SMALL_STEPS, **given["run"]}
    of_another = "init" in run or any(text.strip().startswith("model.") for text in overrides)
    model = {} if of_another else {"architecture": "cmmdl-rt"}
    return {**given, "run": run, "model": model}


def tables(**options: Any) -> dict[str, dict[str, Any]]:
    """The options of the command line as tables of the configuration."""
    from cmmdl.errors import UsageError

    if (options["ir"] is None) != (options["vis"] is None):
        raise UsageError("--ir and --vis belong together: give both folders")
    run = {name: options[name] for name in ("folder", "init") if options[name] is not None}
    kept = ("ir_name", "vis_name", "recursive", "ir_range", "vis_range")
    names = {name: options[name] for name in kept if options[name]}
    data = {"sources": [{"ir": options["ir"], "vis": options["vis"], **names}]} if options["ir"] is not None else {}
    if names and not data:
        raise UsageError(
            "names, ranges and --recursive go with --ir and --vis; a configuration file has them at each source"
        )
    val = {name: options[f"val_{name}"] for name in ("ir", "vis") if options[f"val_{name}"] is not None}
    if val:
        val = {**val, **names, "only": None}  # a list of stems in the configuration is of other folders
    return {"run": run, "data": data, "val": val}
