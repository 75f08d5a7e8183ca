"""The options of ``cmmdl fuse`` for thermal cameras: one file in, temperatures and colours out, metadata kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.fuse_clip import SOURCE
from cmmdl.cli.placing import PlacingCommand
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from torch import nn

    from cmmdl.files.images import Note
    from cmmdl.files.pairs import Pair
    from cmmdl.files.thermal import Conditions
    from cmmdl.fusion.folder import Outcome
    from cmmdl.fusion.products import Products

_FILE = click.Path(path_type=Path)

_OPTIONS = (
    click.option("--emissivity", type=float, metavar="E", help="Emissivity, 0.01 to 1, instead of what a "
                 "radiometric file states."),
    click.option("--distance", type=float, metavar="M", help="Distance in m, likewise."),
    click.option("--reflected", type=float, metavar="C", help="Reflected temperature in °C, likewise."),
    click.option("--humidity", type=float, metavar="PERCENT", help="Relative humidity, 0 to 100, likewise."),
    click.option("--temperature", type=SOURCE, metavar="OUT.tif", help="Write °C on the pixels of the result as float "
                 "TIFF; for folders a folder that gets STEM.temperature.tif."),
    click.option("--report", type=_FILE, metavar="OUT.json", help="Write range, mean, hottest and coldest spot; for "
                 "folders JSON Lines."),
    click.option("--spot", "spots", multiple=True, metavar="X,Y", help="Report this pixel's temperature; repeatable."),
    click.option("--box", "boxes", multiple=True, metavar="X,Y,W,H", help="Report this rectangle's; repeatable."),
    click.option("--palette", is_flag=False, flag_value="bluegold", metavar="[NAME]", help="Paint temperatures: "
                 "bluegold (safe for colour-blind readers), iron, inferno, rainbow, arctic, cividis, viridis, turbo, "
                 "or own for the file's own."),
    click.option("--alarm", metavar="above:T", help="Paint only what is above:60, below:5 or between:36:38."),
    click.option("--unit", type=click.Choice(["C", "F", "K"]), help="Unit of legend, alarm and report.  [default: C]"),
    click.option("--no-legend", is_flag=True, help="No legend beside a painted picture."),
    click.option("--ir-palette", default="auto", show_default=True, metavar="NAME", help="Palette that the infrared "
                 "picture is painted in, to take its values back: auto, none, a name, or a radiometric file with it."),
    click.option("--invert-ir", is_flag=True, help="Black is hot in the infrared picture."),
    click.option("--split", type=click.Choice(["rgbt"]), help="One file of four channels, the fourth thermal."),
    click.option("--pip", is_flag=False, flag_value="auto", metavar="[X,Y,W,H]", help="Do not fuse: show the infrared "
                 "picture in a window of the visible one, by default in the middle."),
    click.option("--strength", type=click.FloatRange(0, 3), help="Of visible edges, with --model edges  [default: 1]"),
    click.option("--share", type=click.FloatRange(0, 1), help="Of infrared, with --model blend  [default: 0.5]"),
    click.option("--metadata", type=click.Choice(["vis", "ir", "none"]), default="vis", show_default=True, help="Whose "
                 "EXIF, GPS, XMP, colour profile and GeoTIFF tags the result keeps; of clips titles, time and place."),
    click.option("--range-from", type=_FILE, metavar="RESULT", help="Take --ir-range from an earlier result."),
)  # fmt: skip


class FuseCommand(PlacingCommand):
    """A command in which ``--palette`` and ``--pip`` too may stand without a value, before a file as well."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads them with their defaults where the next word is a file."""
        words = list(args)
        for place, word in enumerate(words[: words.index("--") if "--" in words else None]):
            following = words[place + 1] if place + 1 < len(words) else ""
            if word in _OPTIONAL and (Path(following).suffix or Path(following).is_dir()):
                words[place] = f"{word}={_OPTIONAL[word]}"
        return super().parse_args(ctx, words)


_OPTIONAL = {"--palette": "bluegold", "--pip": "auto"}


def thermal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settle(options: dict[str, Any], out: Path, folder: bool) -> None:
    """Turns the words of the command line into values, in place: ``conditions``, ``products``, ``pip``, ``model``.

    Raises:
        UsageError: If they contradict each other.
    """
    from cmmdl.fusion.pip import parse_window

    options["conditions"] = _conditions(options)
    options["pip"] = parse_window(options["pip"]) if options["pip"] else None
    if options["ir_palette"] not in ("auto", "none"):
        from cmmdl.files.palettes import palette_by_name

        palette_by_name(options["ir_palette"])
    _check_targets(options, out, folder)
    _check_existing(options, folder)
    options["products"] = _products(options)
    options["model"] = "picture in picture" if options["pip"] else options["model"]
    if options["range_from"]:
        options["ir_range"] = _range_of(options)


def model_of(options: dict[str, Any]) -> str | nn.Module:
    """The model as asked; one with a setting is built with it."""
    name = options["model"]
    if options["pip"]:
        return "max"  # nothing is fused
    for setting, owner in (("strength", "edges"), ("share", "blend")):
        if options[setting] is not None and name != owner:
            raise UsageError(f"--{setting} is a setting of --model {owner}, not of {name}; leave it out")
        if options[setting] is not None:
            from cmmdl.models.baselines import BASELINES

            return BASELINES[owner](**{setting: options[setting]}).eval()
    return str(name)


def settle_range(pairs: list[Pair], options: dict[str, Any], note: Note) -> None:
    """Takes one infrared range for a run of temperatures, in place, and says it as an option to copy."""
    from cmmdl.files.notes import ResultNote
    from cmmdl.fusion.sources import settled_celsius

    if options["ir_range"] not in (None, "auto") or options["split"]:
        return
    if settled := settled_celsius([pair.ir for pair in pairs], options["conditions"]):
        options["ir_range"], said = settled
        note(ResultNote(said))


def target_folders(out: Path, options: dict[str, Any]) -> list[Path]:
    """Every folder that something is written into, once."""
    temperature, report = options["temperature"], options["report"]
    folders = [out]
    if temperature is not None:
        folders.append(temperature.parent if temperature.suffix else temperature)
    if report is not None:
        folders.append(report.parent)
    return list(dict.fromkeys(folders))


def write_reports(outcomes: Iterable[Outcome], options: dict[str, Any], folder: bool) -> None:
    """Writes the reports of a run: one as JSON, those of a folder as JSON Lines, in order.

    Raises:
        UserError: If the file cannot be written.
    """
    from cmmdl.files.atomic import write_bytes

    if not options["report"]:
        return
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    if folder:
        lines = [*_kept_lines(options, {report["file"] for report in reports}), *map(json.dumps, reports)]
        text = "".join(f"{line}\n" for line in lines)
    else:
        text = json.dumps(reports[0], indent=2) + "\n" if reports else ""
    if text:
        write_bytes(options["report"], text.encode())


def _kept_lines(options: dict[str, Any], done: set[str]) -> list[str]:
    """The lines of an earlier run that was continued, without those of results that were made again."""
    path = options["report"]
    if not options["skip_existing"] or not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [line for line in lines if json.loads(line)["file"] not in done]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the report of an earlier run; give --report another name") from error


def _conditions(options: dict[str, Any]) -> Conditions:
    from cmmdl.files.thermal import LIMITS, Conditions

    return Conditions(**{name: options[name] for name in LIMITS})


def _products(options: dict[str, Any]) -> Products:
    from cmmdl.fusion.painting import parse_alarm
    from cmmdl.fusion.products import Products
    from cmmdl.fusion.temperatures import parse_box, parse_spot

    return Products(
        palette=options["palette"] and options["palette"].lower(),
        alarm=parse_alarm(options["alarm"]) if options["alarm"] else None,
        unit=options["unit"],
        legend=not options["no_legend"],
        metadata=options["metadata"],
        temperature=options["temperature"],
        report=options["report"] is not None,
        spots=tuple(map(parse_spot, options["spots"])),
        boxes=tuple(map(parse_box, options["boxes"])),
        origin=_origin(options),
        replace=options["overwrite"],
    )


def _origin(options: dict[str, Any]) -> dict[str, Any]:
    """What the history of each result begins with."""
    from cmmdl import __version__
    from cmmdl.weights.cards import weights_hash

    name = options["model"]
    found: dict[str, Any] = {"software": f"CMMDL {__version__}", "model": Path(name).name}
    if options["pip"]:
        return {**found, "model": "none, picture in picture"}
    for setting in ("strength", "share"):
        if options[setting] is not None:
            found[setting] = options[setting]
    sha256 = weights_hash(name)
    return {**found, "sha256": sha256} if sha256 else found


def _check_targets(options: dict[str, Any], out: Path, folder: bool) -> None:
    """Refuses targets that are each other or cannot be what is asked."""
    temperature, report = options["temperature"], options["report"]
    if temperature is not None and not folder and temperature.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"--temperature {temperature}: temperatures are floats; give a name that ends in .tif")
    if temperature is not None and folder and temperature.suffix:
        raise UsageError(f"--temperature {temperature}: folders need a folder for their temperatures, such as {out}")
    named = [path.resolve() for path in (out, temperature, report) if path is not None]
    if not folder and len(set(named)) < len(named):
        raise UsageError("-o, --temperature and --report name one file; give each its own")


def _check_existing(options: dict[str, Any], folder: bool) -> None:
    """Refuses to replace temperatures or a report that nobody asked to replace."""
    if options["overwrite"] or options["skip_existing"]:
        return
    for name in ("report",) if folder else ("temperature", "report"):
        if options[name] is not None and options[name].exists():
            raise UserError(f"{options[name]} exists; pass --overwrite to replace it, or give --{name} another name")


def _range_of(options: dict[str, Any]) -> str:
    """The infrared range of an earlier result."""
    from cmmdl.errors import UnusableError
    from cmmdl.files.metadata import history_of
    from cmmdl.files.ranges import text_of

    path = options["range_from"]
    history = history_of(path)
    try:
        low, high = (float(value) for value in history["ir_range"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableError(f"{path} does not say its infrared range; give --ir-range") from error
    return text_of(low, high)
