"""``cmmdl fuse``: two files or two folders."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE
from cmmdl.cli.fuse_clip import SOURCE, check_no_clip_options, check_no_pictures, clip_options, fuse_clip, wants_clip
from cmmdl.cli.fuse_ending import BAR, remedy, say, say_json, tell_end
from cmmdl.cli.fuse_pipe import fuse_pipe, wants_pipe
from cmmdl.cli.fuse_ray import fuse_on_cluster, ray_options
from cmmdl.cli.fuse_shard import shard_option
from cmmdl.cli.fuse_thermal import (
    FuseCommand,
    model_of,
    settle,
    settle_range,
    target_folders,
    thermal_options,
    write_reports,
)
from cmmdl.cli.fuse_todo import still_to_do
from cmmdl.cli.naming import naming_options, take_naming
from cmmdl.cli.notes import Notes, strict_option
from cmmdl.cli.placing import placing_options
from cmmdl.cli.ranges import range_options, settled_range
from cmmdl.cli.sides import check_sides
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.files.pairs import Pair
    from cmmdl.fusion.folder import Outcome
    from cmmdl.fusion.fuser import Fuser
    from cmmdl.fusion.options import FuseOptions

PATH = click.Path(path_type=Path, readable=False)


@click.command("fuse", cls=FuseCommand)
@click.argument("ir", type=SOURCE)
@click.argument("vis", type=SOURCE, required=False)
@click.option(
    "-o",
    "--output",
    "out",
    type=SOURCE,
    help="File to write, or folder if the inputs are folders; of clips a video or a folder of frames; - is standard "
    "output.  [default: NAME.fused.png beside the infrared picture NAME]",
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
@clip_options
@click.option("--resize-ir", is_flag=True, help="Resize infrared pictures of another size and the same aspect.")
@thermal_options
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=100_000_000,
    show_default=True,
    metavar="N",
    help="Refuse larger pictures.",
)
@placing_options
@shard_option
@ray_options
@strict_option
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, for programs.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and notes about what a result shows only.")
def command(ir: Path | str, vis: Path | str | None, out: Path | str | None, **options: Any) -> None:
    """Fuse an infrared with a visible picture, or MRI with CT, PET or SPECT: two files, or two folders by file stem.

    Without VIS, IR is a file that holds both, or a folder of them: a radiometric JPEG with its photo, or, with
    --split rgbt, a picture of four channels.

    Also two clips: video files, cameras, streams, numbered pictures, TIFF files of many pages, or raw frames from a
    pipe (-). Frames are paired by their times.

    \b
    Examples:
      cmmdl fuse ir.png vis.png -o fused.png
      cmmdl fuse ir.png vis.png                     # writes ir.fused.png beside ir.png
      cmmdl fuse data/ir data/vis -o results
      cat vis.jpg | cmmdl fuse ir.png - -o - > fused.png
      cmmdl fuse pairs pairs -o results --ir-suffix _ir --vis-suffix _vis --skip-existing
      cmmdl fuse flights flights -o results --ir-name '*_T' --vis-name '*_V' --recursive
      cmmdl fuse thermal.tif photo.jpg -o fused.png --ir-range 20:40 --resize-ir
      cmmdl fuse thermal.png photo.jpg -o fused.png --align
      cmmdl fuse data/ir data/vis -o results --transform rig.json --grid overlap
      cmmdl fuse mri.png pet.png -o fused.png --device cuda
      cmmdl fuse ir.png vis.png -o fused.png --model model.onnx
      cmmdl fuse ir.tif vis.tif -o fused.tif --tile 512 --max-pixels 400000000
      cmmdl fuse FLIR.jpg -o fused.png --palette iron --temperature celsius.tif
      cmmdl fuse ir.mp4 vis.mp4 -o fused.mp4 --model cmmdl-rt --steady
      cmmdl fuse ir/%06d.png vis.mkv -o frames --fps 9 --offset 0.4
      cmmdl fuse rtsp://camera/ir rtsp://camera/vis -o fused.mkv --model cmmdl-rt --duration 60
      cmmdl fuse data/ir data/vis -o results --shard 2/8 --skip-existing
      cmmdl fuse s3://bucket/ir s3://bucket/vis -o s3://bucket/fused --ray auto
    """  # noqa: D301
    if options["overwrite"] and options["skip_existing"]:
        raise UsageError("--overwrite and --skip-existing cannot be combined; give one of them")
    if options["ray"]:
        check_no_clip_options(options)
        _check_placing(options)
        if options["depth"]:
            _check_depth(Path("results"), options["depth"], options["suffix"])
        sys.exit(fuse_on_cluster(ir, vis, out, options, _pair_options))
    out = _of_this_computer(out, options)
    if wants_pipe(ir, vis, out, options):
        sys.exit(fuse_pipe(ir, vis, out, options, _fuse_pictures))
    out = out or _beside(ir)
    if vis is not None and wants_clip(ir, vis, out):
        sys.exit(_fuse_clip(ir, vis, out, options))
    sys.exit(_fuse_pictures(ir, vis, out, options))


def _of_this_computer(out: Path | str | None, options: dict[str, Any]) -> Path | None:
    """The place of the results, without ``--ray`` a path."""
    for place, name in ((out, "-o"), (options["temperature"], "--temperature")):
        if isinstance(place, str):
            raise UsageError(f"{name} {place}: results go to an address with --ray only; give a path, or --ray local")
    if options["workers"]:
        raise UsageError(f"--workers {options['workers']} is for --ray; leave it out, or give --threads")
    return out if out is None else Path(out)


def _beside(ir: Path | str) -> Path:
    """Where the result goes if nothing was said: beside the infrared picture."""
    path = Path(ir)
    if "://" in str(ir) or path.is_dir() or "%" in path.name:
        raise UsageError(f"{ir}: say where the results go with -o")
    from cmmdl.files.video.codecs import CONTAINERS

    return path.with_name(f"{path.stem}.fused{'.mp4' if path.suffix.lower() in CONTAINERS else '.png'}")


def _fuse_pictures(ir: Path | str, vis: Path | str | None, out: Path | None, options: dict[str, Any]) -> int:
    """Two files or folders of pictures, or one that holds both; returns the exit code."""
    out = out or _beside(ir)
    check_no_clip_options(options)
    options["naming"] = take_naming(options)
    if options["depth"]:
        _check_depth(out, options["depth"], options["suffix"])
    settle(options, out, folder=Path(ir).is_dir())
    options["one_file"] = vis is None
    _check_placing(options)
    try:
        return _run(Path(ir), Path(ir if vis is None else vis), out, options)
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror}; check the path and its permissions") from error


def _run(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """Files or folders; returns the exit code."""
    check_sides(ir, vis)
    if options["shard"] and not ir.is_dir():
        raise UsageError(f"--shard {options['shard']} is for two folders; leave it out for two files")
    return (_fuse_folders if ir.is_dir() else _fuse_files)(ir, vis, out, options)


def _fuse_clip(ir: Path | str, vis: Path | str, out: Path, options: dict[str, Any]) -> int:
    """Two clips; returns the exit code."""
    from cmmdl.fusion.options import FuseOptions

    check_no_pictures(options)
    _check_placing(options)
    asked = {field.name: options[field.name] for field in fields(FuseOptions) if field.name in options}
    pair = FuseOptions(**asked, check=not options["no_check"])
    return fuse_clip(
        ir, vis, out, options, lambda notes: _fuser(options, notes), pair, lambda fuser: _where(fuser, options)
    )


def _check_depth(out: Path, depth: str, suffix: str) -> None:
    """Refuses at once a depth that the results' format cannot hold; a name without a picture's suffix is a folder's."""
    from cmmdl.files.images import IMAGE_SUFFIXES, check_depth

    check_depth(out if out.suffix.lower() in IMAGE_SUFFIXES else out / f"NAME.{suffix}", depth)


def _check_placing(options: dict[str, Any]) -> None:
    """Refuses options that contradict each other, and a transform that cannot be used, before anything is fused."""
    from cmmdl.align.transform import load

    if options["align"] and options["transform"]:
        raise UsageError("--align and --transform cannot be combined; give one of them")
    if not 0.05 <= options["zoom"] <= 20:
        raise UsageError(f"--zoom {options['zoom']:g} is out of reach; give a factor from 0.05 to 20")
    if options["transform"]:
        load(options["transform"])


def _fuse_files(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """One pair; returns the exit code."""
    from cmmdl.files.images import check_suffix

    if out.is_dir():
        raise UsageError(f"{out} is a folder; two files need a file name, such as -o {out / 'fused.png'}")
    if out.resolve() in (ir.resolve(), vis.resolve()):
        raise UsageError(f"{out} is one of the two inputs; give another name with -o")
    check_suffix(out)
    if out.exists() and options["skip_existing"]:
        say(options, f"{out} exists, skipped")
        return DONE
    if out.exists() and not options["overwrite"]:
        raise UserError(f"{out} exists; pass --overwrite to replace it or --skip-existing to keep it")
    from cmmdl.files.notes import ResultNote
    from cmmdl.files.pairs import Pair
    from cmmdl.fusion.folder import fuse_pairs, prepare_folder

    notes = Notes(options["quiet"], options["strict"])
    pairs = [Pair(out.stem, ir, vis, out)]
    fuser, pair_options = _fuser(options, notes), _pair_options(pairs, options, notes)
    for folder in target_folders(out.parent, options):
        prepare_folder(folder)
    start = time.perf_counter()
    (outcome,) = fuse_pairs(fuser, pairs, pair_options, options["products"], one_file=options["one_file"])
    if outcome.error:
        raise UserError(outcome.error)
    write_reports([outcome], options, folder=False)
    if outcome.doubt:
        notes(ResultNote(f"{ir}: looks {outcome.doubt}; {remedy([outcome])}"))
    seconds = time.perf_counter() - start
    say(options, f"{out}: fused in {seconds:.2f} s on {_where(fuser, options)}")
    say_json(
        options, {"output": str(out), "seconds": seconds, "on": _where(fuser, options), "notes": sorted(notes.said)}
    )
    return notes.status()


def _fuse_folders(ir: Path, vis: Path, out: Path, options: dict[str, Any]) -> int:
    """All pairs of two folders; returns the exit code."""
    from cmmdl.files.pairs import existing, folder_of_both, pair_folders
    from cmmdl.fusion.folder import prepare_folder

    suffix = f".{options['suffix'].lower()}"
    notes = Notes(options["quiet"], options["strict"])
    if options["one_file"]:
        every, left_out = folder_of_both(ir, out, options["naming"], suffix=suffix)
    else:
        every, left_out = pair_folders(ir, vis, out, options["naming"], suffix=suffix, note=notes)
    todo, left_out, skipped = still_to_do(every, left_out, existing, out, options)
    fuser = _fuser(options, notes) if todo else None
    pair_options = _pair_options(every, options, notes) if todo else None
    for folder in {*target_folders(out, options), *(pair.out.parent for pair in todo)}:
        prepare_folder(folder)
    outcomes = _fuse_all(fuser, todo, pair_options, out, options) if fuser and pair_options else []
    return tell_end(outcomes, left_out, skipped, options, notes)


def _fuse_all(
    fuser: Fuser, pairs: list[Pair], pair_options: FuseOptions, out: Path, options: dict[str, Any]
) -> list[Outcome]:
    """Fuses with a progress bar; returns what became of each pair."""
    from tqdm import tqdm

    from cmmdl.fusion.folder import fuse_pairs

    start = time.perf_counter()
    outcomes = fuse_pairs(fuser, pairs, pair_options, options["products"], one_file=options["one_file"])
    ended = list(
        tqdm(
            outcomes, total=len(pairs), unit=" pictures", bar_format=BAR, disable=options["quiet"] or options["as_json"]
        )
    )
    write_reports(ended, options, folder=True)
    seconds, done = time.perf_counter() - start, sum(not outcome.error for outcome in ended)
    rate = f"{done / seconds:.2f} pictures a second"
    say(
        options,
        f"{out}: {done} fused in {seconds:.1f} s ({rate}) on {_where(fuser, options)}",
    )
    return ended


def _fuser(options: dict[str, Any], notes: Notes) -> Fuser:
    """The fuser as asked."""
    from cmmdl.files.images import quiet_decoders
    from cmmdl.fusion.fuser import Fuser

    quiet_decoders()
    names = ("backend", "device", "precision", "threads", "tile", "stretch", "max_pixels")
    return Fuser(model_of(options), **{name: options[name] for name in names}, note=notes)


def _pair_options(pairs: list[Pair], options: dict[str, Any], notes: Notes) -> FuseOptions:
    """What is asked of every pair; a range that the pictures decide is that of all of them."""
    from cmmdl.fusion.options import FuseOptions

    settle_range(pairs, options, notes)
    asked = {field.name: options[field.name] for field in fields(FuseOptions) if field.name in options}
    asked["check"] = not options["no_check"]
    for side in ("ir", "vis"):
        if asked[f"{side}_range"] is not None:
            paths = [getattr(pair, side) for pair in pairs]
            asked[f"{side}_range"] = settled_range(options[f"{side}_range"], paths, side, notes, options["max_pixels"])
    return FuseOptions(**asked)


def _where(fuser: Fuser, options: dict[str, Any]) -> str:
    return f"{fuser.backend.describe()}, model {options['model']}"
