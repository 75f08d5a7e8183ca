"""``cmmdl fuse``: two files or two folders."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE, NOTHING_DONE
from cmmdl.cli.fuse_thermal import model_of, settle, settle_range, thermal_options, write_reports
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.files.pairs import Pair
    from cmmdl.fusion.fuser import Fuser
    from cmmdl.fusion.options import FuseOptions

PATH = click.Path(path_type=Path, readable=False)
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"


@click.command("fuse")
@click.argument("ir", type=PATH)
@click.argument("vis", type=PATH, required=False)
@click.option("-o", "--output", "out", type=PATH, required=True, help="File, or folder for two folders.")
@click.option("--model", default="cmmdl-ivf", show_default=True, metavar="NAME_OR_PATH", help="See `cmmdl models`.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--skip-existing", is_flag=True, help="Keep results that exist and do the rest.")
@click.option(
    "--format",
    "suffix",
    default="png",
    show_default=True,
    help="Of results in a folder.",
    type=click.Choice(["png", "tif", "tiff", "jpg", "jpeg", "bmp", "webp"], case_sensitive=False),
)
@click.option("--ir-suffix", default="", metavar="TEXT", help="Strip from infrared stems before pairing, e.g. _ir.")
@click.option("--vis-suffix", default="", metavar="TEXT", help="Strip from visible stems before pairing.")
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
    help="auto is float32, or that of an exported file.",
    type=click.Choice(["auto", "float32", "bfloat16", "float64"]),
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: OMP_NUM_THREADS, else all cores]")
@click.option("--tile", type=click.IntRange(1), metavar="N", help="Fuse larger pictures in tiles of N pixels.")
@click.option("--stretch", is_flag=True, help="Stretch each result to the full range, as papers' tables do.")
@click.option("--depth", type=click.Choice(["uint8", "uint16", "float32"]), help="[default: the visible picture's]")
@click.option(
    "--chroma",
    type=click.Choice(["vis", "ir"]),
    default="vis",
    show_default=True,
    help="Whose colour is kept where both have some.",
)
@click.option("--ir-range", type=float, nargs=2, metavar="LOW HIGH", help="Infrared values that mean black and white.")
@click.option("--vis-range", type=float, nargs=2, metavar="LOW HIGH", help="The same of the visible picture.")
@click.option("--resize-ir", is_flag=True, help="Resize infrared pictures of another size.")
@thermal_options
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=100_000_000,
    show_default=True,
    metavar="N",
    help="Refuse larger pictures.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(ir: Path, vis: Path | None, out: Path, **options: Any) -> None:
    """Fuse an infrared with a visible picture, or MRI with CT, PET or SPECT: two files, or two folders by file stem.

    Without VIS, IR is a file that holds both, or a folder of them: a radiometric JPEG with its photo, or, with
    --split rgbt, a picture of four channels.

    \b
    Examples:
      cmmdl fuse ir.png vis.png -o fused.png
      cmmdl fuse data/ir data/vis -o results
      cmmdl fuse pairs pairs -o results --ir-suffix _ir --vis-suffix _vis --skip-existing
      cmmdl fuse thermal.tif photo.jpg -o fused.png --ir-range 20 40 --resize-ir
      cmmdl fuse mri.png pet.png -o fused.png --device cuda
      cmmdl fuse ir.png vis.png -o fused.png --model model.onnx
      cmmdl fuse ir.tif vis.tif -o fused.tif --tile 512 --max-pixels 400000000
      cmmdl fuse FLIR.jpg -o fused.png --palette iron --temperature celsius.tif
    """  # noqa: D301
    if options["overwrite"] and options["skip_existing"]:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
    if options["depth"]:
        _check_depth(out, options["depth"], options["suffix"])
    settle(options, out, folder=ir.is_dir())
    options["one_file"] = vis is None
    try:
        sys.exit(_run(ir, ir if vis is None else vis, out, options))
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror}; check the path and its rights") from error


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
    """Refuses at once a depth that the results' format cannot hold; a name without a suffix is that of a folder."""
    from cmmdl.files.images import check_depth

    check_depth(out if out.suffix else out / f"NAME.{suffix}", depth)


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

    fuser = _fuser(options)
    for folder in _target_folders(out.parent, options):
        prepare_folder(folder)
    start = time.perf_counter()
    pairs = [Pair(out.stem, ir, vis, out)]
    settle_range(pairs, options, fuser.note)
    asked = _pair_options(options)
    (outcome,) = fuse_pairs(fuser, pairs, asked, options["products"], one_file=options["one_file"])
    if outcome.error:
        raise UserError(outcome.error)
    write_reports([outcome], options, folder=False)
    _say(
        options,
        f"{out}: fused in {time.perf_counter() - start:.2f} s on {_where(fuser, options)}",
    )
    return DONE


def _fuse_folders(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """All pairs of two folders; returns the exit code."""
    from cmmdl.files.pairs import folder_of_both, pair_folders
    from cmmdl.fusion.folder import prepare_folder

    suffixes = {name: options[name] for name in ("ir_suffix", "vis_suffix")}
    find = folder_of_both if options["one_file"] else partial(pair_folders, ir)
    pairs, alone = find(vis, out, **suffixes, suffix=f".{options['suffix'].lower()}")
    there = [pair for pair in pairs if pair.out.exists()]
    if there and not (options["overwrite"] or options["skip_existing"]):
        raise UserError(
            f"{out}: {len(there)} of {len(pairs)} results exist; pass --skip-existing to do the rest or --overwrite"
        )
    todo = [pair for pair in pairs if pair not in there] if options["skip_existing"] else pairs
    for folder in _target_folders(out, options):
        prepare_folder(folder)
    failed = _fuse_all(todo, out, options) if todo else []
    _say(options, f"{len(pairs) - len(todo)} existing skipped" if len(todo) < len(pairs) else "")
    _list("failed", failed)
    _list("unpaired", alone)
    if todo and len(failed) == len(todo):
        return NOTHING_DONE
    return INCOMPLETE if failed or alone else DONE


def _fuse_all(pairs: list[Pair], out: Path, options: dict[str, Any]) -> list[str]:
    """Fuses with a progress bar; returns a line about each pair that failed."""
    from tqdm import tqdm

    from cmmdl.fusion.folder import fuse_pairs

    fuser, start = _fuser(options), time.perf_counter()
    settle_range(pairs, options, fuser.note)
    outcomes = fuse_pairs(fuser, pairs, _pair_options(options), options["products"], one_file=options["one_file"])
    bar = tqdm(outcomes, total=len(pairs), unit=" pictures", bar_format=BAR, disable=options["quiet"])
    done_with = list(bar)
    write_reports(done_with, options, folder=True)
    failed = [f"{outcome.pair.stem}: {outcome.error}" for outcome in done_with if outcome.error]
    seconds, done = time.perf_counter() - start, len(pairs) - len(failed)
    rate = f"{done / seconds:.2f} pictures a second"
    _say(
        options,
        f"{out}: {done} fused in {seconds:.1f} s ({rate}) on {_where(fuser, options)}",
    )
    return failed


def _target_folders(out: Path, options: dict[str, Any]) -> list[Path]:
    """Every folder that something is written into, once."""
    temperature, report = options["temperature"], options["report"]
    folders = [out]
    if temperature is not None:
        folders.append(temperature.parent if temperature.suffix else temperature)
    if report is not None:
        folders.append(report.parent)
    return list(dict.fromkeys(folders))


def _fuser(options: dict[str, Any]) -> Fuser:
    """The fuser as asked."""
    from cmmdl.files.images import quiet_decoders
    from cmmdl.fusion.fuser import Fuser

    quiet_decoders()
    names = ("backend", "device", "precision", "threads", "tile", "stretch", "max_pixels")
    return Fuser(model_of(options), **{name: options[name] for name in names}, note=_Notes(options["quiet"]))


def _pair_options(options: dict[str, Any]) -> FuseOptions:
    """What is asked of every pair."""
    from cmmdl.fusion.options import FuseOptions

    return FuseOptions(**{field.name: options[field.name] for field in fields(FuseOptions)})


class _Notes:
    """Prints each note once, above the progress bar."""

    def __init__(self, quiet: bool) -> None:
        self.said = set[str]()
        self.quiet = quiet

    def __call__(self, text: str) -> None:
        from tqdm import tqdm

        if text not in self.said and not self.quiet:
            self.said.add(text)
            tqdm.write(f"note: {text}", file=sys.stderr)


def _where(fuser: Fuser, options: dict[str, Any]) -> str:
    return f"{fuser.backend.describe()}, model {options['model']}"


def _say(options: dict[str, Any], text: str) -> None:
    if text and not options["quiet"]:
        click.echo(text)


def _list(title: str, lines: list[str]) -> None:
    if lines:
        click.echo("\n  ".join([f"{len(lines)} {title}:", *lines]), err=True)
