"""``cmmdl align``: how infrared pictures lie on visible ones."""

from __future__ import annotations

import json
import sys
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE, NOTHING_DONE
from cmmdl.cli.naming import naming_options, say_note, take_naming
from cmmdl.cli.placing import WARPS
from cmmdl.cli.sides import check_sides
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.align import Alignment
    from cmmdl.files.pairs import Pair

PATH = click.Path(path_type=Path, readable=False)
MEANINGS = {
    "mirrored": "left and right are exchanged in one of them",
    "foreign": "they do not seem to show one scene",
    "too_little_structure": "one of them is blank, tiny or without edges",
    "low_confidence": "not sure enough to be used",
    "degenerate": "what they share lies in one spot or line",
}


@click.command("align")
@click.argument("ir", type=PATH)
@click.argument("vis", type=PATH)
@click.option(
    "-o", "--output", "out", type=PATH, help="Write the infrared picture on the visible one's grid; file or folder."
)
@click.option("--save", type=PATH, metavar="FILE", help="Write the transform as JSON; for two folders a folder.")
@click.option("--once", is_flag=True, help="One transform for all pairs of a rig, into the file of --save.")
@click.option(
    "--warp", type=click.Choice(WARPS), default="auto", show_default=True, help="auto: the simplest that explains it."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="PX",
    help="Largest shift of an aligned pair  [default: 4 px or 0.6 % of the width, whichever is more]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("--max-pixels", type=click.IntRange(1), default=100_000_000, show_default=True, metavar="N")
@naming_options
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(ir: Path, vis: Path, **options: Any) -> None:
    """Report how an infrared picture lies on a visible one; write it warped, and the transform.

    Shifts are in pixels of the visible picture, to the right and down. The verdict is aligned, shifted, mirrored or
    foreign (another scene), or why there is none. Nothing is warped unless the transform is sure. The exit status is
    0 if all pairs are aligned within the tolerance, 3 if not or not sure.

    \b
    Examples:
      cmmdl align ir.png vis.png
      cmmdl align thermal.png photo.jpg -o warped.png --save transform.json
      cmmdl align data/ir data/vis --save transforms -o warped
      cmmdl align day/ir day/vis --once --save rig.json --warp similarity
    """  # noqa: D301
    naming = take_naming(options)
    check_sides(ir, vis)
    if options["tolerance"] is not None and not isfinite(options["tolerance"]):
        raise UsageError(f"--tolerance {options['tolerance']}: give a number of pixels, such as 4")
    if options["once"] and not options["save"]:
        raise UsageError("--once needs a file for the transform; give --save rig.json")
    pairs, left_out = _pairs(ir, vis, naming, options)
    _check_outputs(ir, vis, pairs, options)
    sys.exit(_run(pairs, left_out, ir.is_dir(), options))


def _pairs(ir: Path, vis: Path, naming: Any, options: dict[str, Any]) -> tuple[list[Pair], list[str]]:
    """The pairs, each with where its warped picture goes."""
    from cmmdl.files.images import check_suffix
    from cmmdl.files.pairs import Pair, match_folders, nothing_pairs, quiet

    out = options["out"]
    if not ir.is_dir():
        if out is not None and not out.is_dir():
            check_suffix(out)
        return [Pair(ir.stem, ir, vis, out / f"{ir.stem}.png" if out and out.is_dir() else out or Path())], []
    note = quiet if options["quiet"] or options["as_json"] else say_note
    matched = match_folders(ir, vis, naming, note=note)
    if not matched.both:
        raise UserError(nothing_pairs(ir, vis, matched))
    pairs = [Pair(key, one, two, (out or Path()) / f"{key}.png") for key, (one, two) in matched.both.items()]
    return pairs, matched.left_out


def _check_outputs(ir: Path, vis: Path, pairs: list[Pair], options: dict[str, Any]) -> None:
    """Refuses places that would be lost or mixed with inputs, before anything is measured."""
    out, save, folders = options["out"], options["save"], ir.is_dir()
    if out and out.resolve() in (ir.resolve(), vis.resolve()):
        raise UsageError(f"{out} is one of the inputs; give another name with -o")
    if folders and out and out.is_file():
        raise UsageError(f"{out} is a file; two folders need a folder for -o")
    if folders and save and not options["once"] and (save.is_file() or save.suffix == ".json"):
        raise UsageError(f"{save}: two folders need a folder for --save, or --once for one transform of all pairs")
    if save and (not folders or options["once"]) and save.is_dir():
        raise UsageError(f"{save} is a folder; give a file name, such as --save {save / 'transform.json'}")
    inputs = {path.resolve() for pair in pairs for path in (pair.ir, pair.vis)}
    written = _outputs(pairs, folders, options)
    if lost := [path for path in written if path.resolve() in inputs]:
        raise UsageError(f"{lost[0]} is one of the inputs; write somewhere else")
    if options["overwrite"]:
        return
    there = [path for path in written if path.exists()]
    if there:
        raise UserError(f"{there[0]} exists; pass --overwrite to replace it, or choose another name")


def _outputs(pairs: list[Pair], folders: bool, options: dict[str, Any]) -> list[Path]:
    """All files that may be written; a folder's pictures of floats become TIFF, and elastic transforms have a field."""
    from cmmdl.align.transform import field_file

    written = [pair.out for pair in pairs] if options["out"] else []
    if folders:
        written += [path.with_suffix(".tif") for path in written]
    saved = [path for path in {_json_of(pair, folders, options) for pair in pairs} if path]
    fields = [field_file(path) for path in saved] if options["warp"] == "elastic" and not options["once"] else []
    return [*written, *saved, *fields]


def _json_of(pair: Pair, folders: bool, options: dict[str, Any]) -> Path | None:
    """Where the transform of a pair goes."""
    save: Path | None = options["save"]
    return save / f"{pair.stem}.json" if save and folders and not options["once"] else save


def _run(pairs: list[Pair], left_out: list[str], folders: bool, options: dict[str, Any]) -> int:
    """Measures all pairs, writes what is asked for, reports; returns the exit code."""
    found: dict[str, Alignment] = {}
    failed: list[str] = []
    for pair in _bar(pairs, folders, options):
        try:
            found[pair.stem] = _measure(pair, options)
            _write(pair, found[pair.stem], folders, options)
        except UserError as error:
            if not folders:
                raise
            failed.append(f"{pair.stem}: {error}")
    (_print_json if options["as_json"] else _print)(found, folders, options)
    if options["once"]:
        _write_rig(list(found.values()), options)
    for title, lines in (("failed", failed), ("unpaired", left_out)):
        if lines:
            click.echo("\n  ".join([f"{len(lines)} {title}:", *lines]), err=True)
    if not found:
        return NOTHING_DONE
    aligned = all(one.verdict(options["tolerance"]) == "aligned" for one in found.values())
    return DONE if aligned and not (failed or left_out) else INCOMPLETE


def _bar(pairs: list[Pair], folders: bool, options: dict[str, Any]) -> Any:
    from tqdm import tqdm

    return tqdm(pairs, unit=" pairs", leave=False, disable=None if folders and not options["quiet"] else True)


def _measure(pair: Pair, options: dict[str, Any]) -> Alignment:
    from cmmdl.align import register
    from cmmdl.files.images import quiet_decoders, read_picture

    quiet_decoders()
    one, two = (read_picture(path, max_pixels=options["max_pixels"], gaps=True) for path in (pair.ir, pair.vis))
    return register(one.array, two.array, None if options["warp"] == "auto" else options["warp"])


def _write(pair: Pair, found: Alignment, folders: bool, options: dict[str, Any]) -> None:
    """The warped picture, if it is sure, and the transform, which says whether it is."""
    from cmmdl.align import onto_vis, save
    from cmmdl.files.images import read_picture, write_image

    place = _json_of(pair, folders, options)
    if place and not options["once"]:
        place.parent.mkdir(parents=True, exist_ok=True)
        save(found, place)
    if options["out"] and found.ok:
        out = pair.out
        array = read_picture(pair.ir, max_pixels=options["max_pixels"], gaps=True).array
        if folders and array.dtype.kind == "f":
            out = out.with_suffix(".tif")
        out.parent.mkdir(parents=True, exist_ok=True)
        write_image(out, onto_vis(array, found))


def _write_rig(found: list[Alignment], options: dict[str, Any]) -> None:
    from cmmdl.align import save
    from cmmdl.align.rig import median

    rig = median(found, None if options["warp"] == "auto" else options["warp"])
    options["save"].parent.mkdir(parents=True, exist_ok=True)
    save(rig, options["save"])
    if not (options["quiet"] or options["as_json"]):
        sure = sum(one.ok for one in found)
        click.echo(
            f"{options['save']}: {rig.warp} from {sure} of {len(found)} pairs, the sure ones; their median distance "
            f"from it is {rig.residual_px:.1f} px{'' if rig.ok else ': too far for one rig, so it will not be used'}"
        )


def _print(found: dict[str, Alignment], folders: bool, options: dict[str, Any]) -> None:
    if options["quiet"]:
        return
    if not folders:
        for stem, one in found.items():
            _print_one(stem, one, options)
        return
    rows: list[tuple[str, ...]] = [("pair", "verdict", "middle", "largest", "scale", "rotation", "warp", "confidence")]
    rows += [(stem, *_cells(one, options["tolerance"])) for stem, one in found.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(one: Alignment, tolerance: float | None) -> tuple[str, ...]:
    """One pair in the table; numbers only where they are sure."""
    verdict = one.verdict(tolerance)
    if not one.ok:
        return verdict, "", "", "", "", "", f"{one.confidence:.2f}"
    x, y = one.shift
    numbers = f"{x:+.1f}, {y:+.1f}", f"{one.largest_shift:.1f} px", f"{one.scale:.3f}", f"{one.degrees:+.2f}°"
    return verdict, *numbers, one.warp, f"{one.confidence:.2f}"


def _print_one(stem: str, one: Alignment, options: dict[str, Any]) -> None:
    verdict = one.verdict(options["tolerance"])
    click.echo(f"{stem}: {verdict}" + (f", {MEANINGS[verdict]}" if verdict in MEANINGS else ""))
    if not one.ok:
        return
    corners = ", ".join(f"({x:+.1f}, {y:+.1f})" for x, y in one.corner_shifts)
    rows = (
        ("shift", f"{one.shift[0]:+.1f}, {one.shift[1]:+.1f} px (right, down) in the middle bring it into place"),
        ("corners", f"{corners} px, clockwise from the top left"),
        ("largest", f"{one.largest_shift:.1f} px"),
        ("scale", f"{one.scale:.4f}"),
        ("rotation", f"{one.degrees:+.2f}° clockwise"),
        ("warp", one.warp),
        ("residual", f"{one.residual_px:.1f} px"),
        ("confidence", f"{one.confidence:.2f}"),
    )
    for name, text in rows:
        click.echo(f"  {name.ljust(10)}  {text}")


def _print_json(found: dict[str, Alignment], folders: bool, options: dict[str, Any]) -> None:
    told = {
        stem: {
            "verdict": one.verdict(options["tolerance"]),
            "status": one.status,
            "shift": one.shift if one.ok else None,
            "corners": one.corner_shifts if one.ok else None,
            "largest": one.largest_shift if one.ok else None,
            "scale": one.scale if one.ok else None,
            "degrees": one.degrees if one.ok else None,
            "warp": one.warp,
            "matrix": one.matrix.tolist(),
            "residual_px": one.residual_px,
            "confidence": one.confidence,
        }
        for stem, one in found.items()
    }
    click.echo(json.dumps(told if folders else next(iter(told.values())), indent=1))
