"""``cmmdl fuse``: two files or two folders."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE, NOTHING_DONE
from cmmdl.cli.naming import naming_options, take_naming
from cmmdl.cli.notes import Notes, strict_option
from cmmdl.cli.ranges import range_options, settled_range
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.files.pairs import Pair
    from cmmdl.fusion.fuser import Fuser
    from cmmdl.fusion.options import FuseOptions

PATH = click.Path(path_type=Path, readable=False)
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"


@click.command("fuse")
@click.argument("ir", type=PATH)
@click.argument("vis", type=PATH)
@click.option(
    "-o", "--output", "out", type=PATH, required=True, help="File to write, or folder if the inputs are folders."
)
@click.option("--model", default="cmmdl-ivf", show_default=True, metavar="NAME_OR_PATH", help="See `cmmdl models`.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--skip-existing", is_flag=True, help="Keep results that exist and do the rest.")
@click.option(
    "--format",
    "suffix",
    default="png",
    show_default=True,
    help="File format of the results in a folder.",
    type=click.Choice(["png", "tif", "tiff", "jpg", "jpeg", "bmp", "webp"], case_sensitive=False),
)
@naming_options
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="auto: OpenVINO or ONNX Runtime, if installed, for models that ship as ONNX; else torch.",
    type=click.Choice(["auto", "torch", "onnxruntime", "openvino"]),
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="auto means float32, or an exported file's own.",
    type=click.Choice(["auto", "float32", "bfloat16", "float64"]),
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: OMP_NUM_THREADS, else all cores]")
@click.option("--tile", type=click.IntRange(1), metavar="N", help="Fuse larger pictures in tiles of N pixels.")
@click.option("--stretch", is_flag=True, help="Stretch each result to the full range, as the tables in papers do.")
@click.option("--depth", type=click.Choice(["uint8", "uint16", "float32"]), help="[default: the visible picture's]")
@click.option(
    "--chroma",
    type=click.Choice(["vis", "ir"]),
    default="vis",
    show_default=True,
    help="Whose colour is kept where both have some.",
)
@range_options()
@click.option("--resize-ir", is_flag=True, help="Resize infrared pictures of another size and the same aspect.")
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=100_000_000,
    show_default=True,
    metavar="N",
    help="Refuse larger pictures.",
)
@strict_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors and notes about what a result shows only.")
def command(ir: Path, vis: Path, out: Path, **options: Any) -> None:
    """Fuse an infrared with a visible picture, or MRI with CT, PET or SPECT: two files, or two folders by file stem.

    \b
    Examples:
      cmmdl fuse ir.png vis.png -o fused.png
      cmmdl fuse data/ir data/vis -o results
      cmmdl fuse pairs pairs -o results --ir-suffix _ir --vis-suffix _vis --skip-existing
      cmmdl fuse flights flights -o results --ir-name '*_T' --vis-name '*_V' --recursive
      cmmdl fuse thermal.tif photo.jpg -o fused.png --ir-range 20:40 --resize-ir
      cmmdl fuse mri.png pet.png -o fused.png --device cuda
      cmmdl fuse ir.png vis.png -o fused.png --model model.onnx
      cmmdl fuse ir.tif vis.tif -o fused.tif --tile 512 --max-pixels 400000000
    """  # noqa: D301
    if options["overwrite"] and options["skip_existing"]:
        raise UsageError("--overwrite and --skip-existing cannot be combined; give one of them")
    options["naming"] = take_naming(options)
    if options["depth"]:
        _check_depth(out, options["depth"], options["suffix"])
    try:
        sys.exit(_run(ir, vis, out, options))
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror}; check the path and its permissions") from error


def _run(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """Files or folders; returns the exit code."""
    for path in (ir, vis):
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder; check the path")
    if ir.is_dir() != vis.is_dir():
        folder, file = (ir, vis) if ir.is_dir() else (vis, ir)
        raise UsageError(f"{folder} is a folder and {file} a file; give two files or two folders")
    return (_fuse_folders if ir.is_dir() else _fuse_files)(ir, vis, out, options)


def _check_depth(out: Path, depth: str, suffix: str) -> None:
    """Refuses at once a depth that the results' format cannot hold; a name without a picture's suffix is a folder's."""
    from cmmdl.files.images import IMAGE_SUFFIXES, check_depth

    check_depth(out if out.suffix.lower() in IMAGE_SUFFIXES else out / f"NAME.{suffix}", depth)


def _fuse_files(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """One pair; returns the exit code."""
    from cmmdl.files.images import check_suffix

    if out.is_dir():
        raise UsageError(f"{out} is a folder; two files need a file name, such as -o {out / 'fused.png'}")
    if out.resolve() in (ir.resolve(), vis.resolve()):
        raise UsageError(f"{out} is one of the two inputs; give another name with -o")
    check_suffix(out)
    if out.exists() and options["skip_existing"]:
        _say(options, f"{out} exists, skipped")
        return DONE
    if out.exists() and not options["overwrite"]:
        raise UserError(f"{out} exists; pass --overwrite to replace it or --skip-existing to keep it")
    from cmmdl.files.pairs import Pair
    from cmmdl.fusion.folder import fuse_pairs, prepare_folder

    notes = Notes(options["quiet"], options["strict"])
    pairs = [Pair(out.stem, ir, vis, out)]
    fuser, pair_options = _fuser(options, notes), _pair_options(pairs, options, notes)
    prepare_folder(out.parent)
    start = time.perf_counter()
    (outcome,) = fuse_pairs(fuser, pairs, pair_options)
    if outcome.error:
        raise UserError(outcome.error)
    _say(
        options,
        f"{out}: fused in {time.perf_counter() - start:.2f} s on {_where(fuser, options)}",
    )
    return notes.status()


def _fuse_folders(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """All pairs of two folders; returns the exit code."""
    from cmmdl.files.pairs import existing, pair_folders
    from cmmdl.fusion.folder import prepare_folder

    suffix = f".{options['suffix'].lower()}"
    notes = Notes(options["quiet"], options["strict"])
    pairs, left_out = pair_folders(ir, vis, out, options["naming"], suffix=suffix, note=notes)
    there = existing(pairs)
    if there and not (options["overwrite"] or options["skip_existing"]):
        raise UserError(
            f"{out}: {len(there)} of {len(pairs)} results exist; pass --skip-existing to do the rest or --overwrite"
        )
    kept = {pair.stem for pair in there} if options["skip_existing"] else set()
    todo = [pair for pair in pairs if pair.stem not in kept]
    fuser = _fuser(options, notes) if todo else None
    pair_options = _pair_options(pairs, options, notes) if todo else None
    for folder in {out, *(pair.out.parent for pair in todo)}:
        prepare_folder(folder)
    failed = _fuse_all(fuser, todo, pair_options, out, options) if fuser and pair_options else []
    _say(options, f"{len(pairs) - len(todo)} existing skipped" if len(todo) < len(pairs) else "")
    _list("failed", failed)
    _list("unpaired", left_out)
    if todo and len(failed) == len(todo):
        return NOTHING_DONE
    return notes.status(INCOMPLETE if failed or left_out else DONE)


def _fuse_all(
    fuser: Fuser, pairs: list[Pair], pair_options: FuseOptions, out: Path, options: dict[str, Any]
) -> list[str]:
    """Fuses with a progress bar; returns a line about each pair that failed."""
    from tqdm import tqdm

    from cmmdl.fusion.folder import fuse_pairs

    start = time.perf_counter()
    outcomes = fuse_pairs(fuser, pairs, pair_options)
    bar = tqdm(outcomes, total=len(pairs), unit=" pictures", bar_format=BAR, disable=options["quiet"])
    failed = [f"{outcome.pair.stem}: {outcome.error}" for outcome in bar if outcome.error]
    seconds, done = time.perf_counter() - start, len(pairs) - len(failed)
    rate = f"{done / seconds:.2f} pictures a second"
    _say(
        options,
        f"{out}: {done} fused in {seconds:.1f} s ({rate}) on {_where(fuser, options)}",
    )
    return failed


def _fuser(options: dict[str, Any], notes: Notes) -> Fuser:
    """The fuser as asked."""
    from cmmdl.files.images import quiet_decoders
    from cmmdl.fusion.fuser import Fuser

    quiet_decoders()
    names = ("model", "backend", "device", "precision", "threads", "tile", "stretch", "max_pixels")
    return Fuser(**{name: options[name] for name in names}, note=notes)


def _pair_options(pairs: list[Pair], options: dict[str, Any], notes: Notes) -> FuseOptions:
    """What is asked of every pair; a range that the pictures decide is that of all of them."""
    from cmmdl.fusion.options import FuseOptions

    asked = {field.name: options[field.name] for field in fields(FuseOptions) if field.name in options}
    for side in ("ir", "vis"):
        if asked[f"{side}_range"] is not None:
            paths = [getattr(pair, side) for pair in pairs]
            asked[f"{side}_range"] = settled_range(options[f"{side}_range"], paths, side, notes, options["max_pixels"])
    return FuseOptions(**asked)


def _where(fuser: Fuser, options: dict[str, Any]) -> str:
    return f"{fuser.backend.describe()}, model {options['model']}"


def _say(options: dict[str, Any], text: str) -> None:
    if text and not options["quiet"]:
        click.echo(text)


def _list(title: str, lines: list[str]) -> None:
    if lines:
        click.echo("\n  ".join([f"{len(lines)} {title}:", *lines]), err=True)
