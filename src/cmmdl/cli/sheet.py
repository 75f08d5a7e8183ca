"""``cmmdl sheet``: one picture that shows infrared, visible and fused pictures side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE
from cmmdl.cli.naming import naming_options, take_naming
from cmmdl.cli.notes import Notes, strict_option
from cmmdl.cli.ranges import range_options, settled_range
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.evaluate.scenes import Exclusion, Scene
    from cmmdl.evaluate.sheets import Style
    from cmmdl.files.images import Array
    from cmmdl.files.ranges import RangeRule

PATH = click.Path(path_type=Path, readable=False)


@click.command("sheet")
@click.argument("ir", type=PATH)
@click.argument("vis", type=PATH)
@click.option("-o", "--output", "out", type=PATH, required=True, help="The picture to write: .png, .jpg, ...")
@click.option("--methods", default="", metavar="NAME,...", help="Models to fuse with, see `cmmdl models`.")
@click.option("--fused", multiple=True, metavar="NAME=PATH", help="Pictures that have been fused already; repeatable.")
@click.option("--stems", default="", metavar="STEM,...", help="Show these pairs, in this order.")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="How many pairs to show, spread evenly over all.",
)
@click.option("--width", type=click.IntRange(16), default=320, show_default=True, help="Width of a column in pixels.")
@click.option("--full", is_flag=True, help="Show pictures at their own size.")
@click.option("--crop", metavar="X,Y,W,H", help="Show only this part, in pixels or as fractions of the picture.")
@click.option("--inset", metavar="X,Y,W,H", help="Frame this part and show it enlarged in a corner.")
@click.option("--stretch", is_flag=True, help="Stretch what is fused here to the full range.")
@click.option("--title", help="Title; '' leaves it out.  [default: folder, pairs and options]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--overwrite", is_flag=True, help="Replace a sheet that exists.")
@naming_options
@click.option("--fused-suffix", default="", metavar="TEXT", help="Strip from fused stems, e.g. _{method}.")
@range_options()
@strict_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors and notes about what is shown only.")
def command(ir: Path, vis: Path, out: Path, **options: Any) -> None:
    """Lay out infrared, visible and fused pictures: a row a pair, a column a method. Two folders, or two files.

    A pair that cannot be shown is named and left out, and makes the exit status 3.

    \b
    Examples:
      cmmdl sheet data/ir data/vis -o sheet.png --methods laplacian,cmmdl-ivf
      cmmdl sheet data/ir data/vis -o sheet.png --methods cmmdl-ivf --fused theirs=results/theirs --count 4
      cmmdl sheet data/ir data/vis -o faces.png --methods cmmdl-ivf --stems 03,07 --full --crop 200,100,160,120
      cmmdl sheet data/ir data/vis -o zoom.png --methods max,cmmdl-ivf --inset 0.4,0.3,0.2,0.2
      cmmdl sheet ir.png vis.png -o one.png --methods mean,cmmdl-ivf
    """  # noqa: D301
    from cmmdl.evaluate.sheets import Crop, Style
    from cmmdl.files.images import check_suffix, quiet_decoders

    quiet_decoders()
    options["naming"] = take_naming(options)
    check_suffix(out)
    if out.exists() and not options["overwrite"]:
        raise UserError(f"{out} exists; pass --overwrite to replace it")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out}: there is no folder {out.parent}; create it first")
    crop, inset = (Crop.parse(options[name]) if options[name] else None for name in ("crop", "inset"))
    style = Style(None if options["full"] else options["width"], crop, inset)
    sys.exit(_run(ir, vis, out, style, options))


def _run(ir: Path, vis: Path, out: Path, style: Style, options: dict[str, Any]) -> int:
    """Writes the sheet; returns the exit code."""
    from tqdm import tqdm

    from cmmdl.evaluate.sheets import check_size, expected_size, gather, lay_out
    from cmmdl.files.images import write_image

    models, fused = _columns(options)
    notes = options["note"] = Notes(options["quiet"], options["strict"])
    scenes, excluded = _scenes(ir, vis, fused, options)
    ranges = _ranges(ir, vis, options)
    columns = [*models, *fused]
    check_size(*expected_size(scenes, len(columns) + 2, style))
    fuse = {name: _fuser(model, ranges, options) for name, model in models.items()}
    rows, failed = [], [str(one) for one in excluded]
    for scene in tqdm(scenes, unit=" pairs", disable=True if options["quiet"] else None, leave=False):
        try:
            rows.append(gather(scene, fuse, columns, style, ranges))
        except UserError as error:
            failed.append(f"{scene.name}: {error}")
    if not rows:
        raise UserError(f"no pair can be shown: {failed[0]}")
    title = options["title"]
    if title is None:
        title = _title(ir, len(rows), options)
    names = [_side(ir, "infrared"), _side(vis, "visible"), *columns]
    write_image(out, lay_out(rows, names, title))
    if not options["quiet"]:
        click.echo(f"{out}: pairs {len(rows)}, columns {', '.join(names)}")
    if failed:
        click.echo("\n  ".join([f"{len(failed)} left out:", *failed]), err=True)
    return notes.status(INCOMPLETE if failed else DONE)


def _columns(options: dict[str, Any]) -> tuple[dict[str, str], dict[str, Path]]:
    """Models by column name, and folders or files of fused pictures."""
    models: dict[str, str] = {}
    for text in filter(None, (part.strip() for part in options["methods"].split(","))):
        name = Path(text).stem if text.lower().endswith((".safetensors", ".onnx", ".xml")) else text
        if name in models:
            raise UsageError(f"--methods names {name!r} twice; keep one")
        models[name] = text
    fused: dict[str, Path] = {}
    for text in options["fused"]:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--fused {text!r} is not NAME=PATH")
        if name in models or name in fused:
            raise UsageError(f"--fused {name!r} names a column that already exists; choose another name")
        fused[name] = Path(path)
    return models, fused


def _scenes(
    ir: Path, vis: Path, fused: dict[str, Path], options: dict[str, Any]
) -> tuple[list[Scene], list[Exclusion]]:
    """Which pairs are shown, and what is missing."""
    from cmmdl.evaluate.scenes import Scene, find_scenes
    from cmmdl.evaluate.sheets import choose, concerns

    paths = [ir, vis, *fused.values()]
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder; check the path")
    files = [path for path in paths if path.is_file()]
    if files:
        if len(files) < len(paths):
            raise UsageError(f"{files[0]} is a file, others are folders; give files only or folders only")
        return [Scene(vis.stem, ir, vis, fused)], []
    marks = {"fused_suffix": options["fused_suffix"], "note": options["note"]}
    scenes, excluded = find_scenes(fused, ir, vis, options["naming"], **marks)
    stems = [stem.strip() for stem in options["stems"].split(",") if stem.strip()]
    return choose(scenes, stems=stems, count=options["count"]), concerns(excluded, stems)


def _ranges(ir: Path, vis: Path, options: dict[str, Any]) -> tuple[RangeRule, RangeRule]:
    """One range a side for all pairs of two folders, those that are not shown included; or for two files."""
    from cmmdl.files.pairs import match_folders

    pairs = [(ir, vis)] if ir.is_file() else [*match_folders(ir, vis, options["naming"]).both.values()]
    note = options["note"]
    return (
        settled_range(options["ir_range"], [pair[0] for pair in pairs], "ir", note),
        settled_range(options["vis_range"], [pair[1] for pair in pairs], "vis", note),
    )


def _fuser(model: str, ranges: tuple[RangeRule, RangeRule], options: dict[str, Any]) -> Callable[[Path, Path], Array]:
    """What fuses two files by a model; a wrong name is told now, not after an hour."""
    import numpy as np

    from cmmdl.fusion.fuser import Fuser

    fuser = Fuser(model, device=options["device"], stretch=options["stretch"], note=lambda _: None)

    def fuse(ir: Path, vis: Path) -> Array:
        fused = fuser(ir, vis, ir_range=ranges[0], vis_range=ranges[1])
        assert isinstance(fused, np.ndarray)
        return fused

    return fuse


def _side(path: Path, usual: str) -> str:
    """Name of a source's column: that of a medical folder or file, or the usual one."""
    name = path.resolve().stem.upper()
    return name if name in ("MRI", "CT", "PET", "SPECT") else usual


def _title(ir: Path, pairs: int, options: dict[str, Any]) -> str:
    name = ir.resolve().parent.name if ir.is_dir() else ir.stem
    parts = [name, f"{pairs} pairs" if pairs > 1 else "1 pair"]
    parts += [f"{key} {options[key]}" for key in ("crop", "inset") if options[key]]
    return ", ".join([*parts, "stretched"] if options["stretch"] else parts)
