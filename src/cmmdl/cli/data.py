"""``cmmdl data``: the field's data sets, and checks of folders of pairs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import INCOMPLETE
from cmmdl.cli.naming import naming_options, take_naming
from cmmdl.cli.notes import Notes, strict_option
from cmmdl.cli.ranges import range_options
from cmmdl.errors import UserError

if TYPE_CHECKING:
    from cmmdl.datasets import DataSet, Report
    from cmmdl.datasets.preparation import Preparation

PATH = click.Path(path_type=Path, readable=False)
WORKERS = click.option(
    "--workers", type=click.IntRange(1), help="Threads that read pictures.  [default: depends on the cores]"
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("data")
def command() -> None:
    """List the field's data sets, bring one into folders of pairs, check folders of pairs.

    \b
    Examples:
      cmmdl data list
      cmmdl data list msrs
      cmmdl data prepare msrs --from ~/Downloads/MSRS-main.zip -o data/msrs
      cmmdl data check data/msrs
    """  # noqa: D301


@command.command("list")
@click.argument("name", required=False)
@JSON
def list_command(name: str | None, as_json: bool) -> None:
    """List the data sets that are known, or all that is known of one.

    \b
    Examples:
      cmmdl data list
      cmmdl data list llvip
    """  # noqa: D301
    from cmmdl.datasets import CATALOGUE, find_data_set

    known = [find_data_set(name)] if name else list(CATALOGUE)
    if as_json:
        click.echo(json.dumps([asdict(data) for data in known], indent=2))
    elif name:
        _show(known[0])
    else:
        rows = [("name", "split", "size", "source", "terms")]
        rows += [(data.name, data.split, _size(data), data.source, data.terms) for data in known]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
        click.echo(
            "\nNothing is downloaded for you: `cmmdl data list NAME` says where a set is, its terms and what to do."
        )


@command.command("prepare")
@click.argument("name")
@click.option("--from", "source", type=PATH, required=True, help="The archive (ZIP, TAR) or folder you downloaded.")
@click.option("-o", "--output", "out", type=PATH, required=True, help="New folder for train/ir, train/vis, ...")
@click.option("--sha256", default="", metavar="HEX", help="Refuse the archive unless it has this hash.")
@click.option("--test-stems", type=PATH, help="Text file of test stems, for sets without an official split.")
@click.option("--link", is_flag=True, help="Make hard links instead of copies (from a folder only).")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and stop.")
@WORKERS
@JSON
@click.option("-q", "--quiet", is_flag=True, help="Print problems only.")
def prepare_command(
    name: str,
    source: Path,
    out: Path,
    sha256: str,
    test_stems: Path | None,
    link: bool,
    dry_run: bool,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Bring a downloaded data set into folders of pairs, OUT/train/ir, OUT/train/vis, OUT/test/ir, OUT/test/vis.

    Files are copied as they are. Pairs that are damaged or of two sizes and pictures without a partner are left out
    and named, and make the exit status 3. The folder is there when all is done, or not at all.

    \b
    Examples:
      cmmdl data prepare msrs --from ~/Downloads/MSRS-main.zip -o data/msrs
      cmmdl data prepare llvip --from ~/LLVIP -o data/llvip --link
      cmmdl data prepare roadscene --from RoadScene.zip -o data/road --test-stems test.txt --dry-run
    """  # noqa: D301
    from cmmdl.datasets import find_data_set, plan, prepare
    from cmmdl.datasets.preparation import check_target, leftovers
    from cmmdl.files.images import quiet_decoders

    quiet_decoders()
    planned = plan(find_data_set(name), source, sha256=sha256, test_stems=test_stems)
    check_target(planned, out, link)
    if not (quiet or as_json):
        _say_plan(planned, out)
    if dry_run:
        if as_json:
            click.echo(json.dumps(_plan_as_data(planned, out), indent=2))
        return
    for folder in leftovers(out):
        click.echo(
            f"note: {folder} was left by a run that was killed, or is still going on; remove it if no run is using it",
            err=True,
        )
    report = prepare(planned, out, link=link, workers=workers, progress=not (quiet or as_json))
    if as_json:
        click.echo(json.dumps({**_plan_as_data(planned, out), **report.to_dict()}, indent=2))
    _finish(report, quiet, as_json)


@command.command("check")
@click.argument("folder", type=PATH)
@click.option(
    "--against", type=PATH, multiple=True, help="Folder that must not share a picture with FOLDER; repeatable."
)
@click.option(
    "--as", "name", help="Compare with what is published about this data set.  [default: the one it was prepared as]"
)
@naming_options
@range_options()
@strict_option
@WORKERS
@JSON
@click.option("-q", "--quiet", is_flag=True, help="Print problems, and notes about values that matter.")
def check_command(
    folder: Path,
    against: tuple[Path, ...],
    name: str | None,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Check a folder of pairs: damaged, unpaired, of two sizes, and duplicates between train and test.

    FOLDER holds ir and vis (or mri and ct, pet or spect), or folders that do, or pictures of both sides whose names
    tell them apart. Every picture is read. Problems make the exit status 3; notes, such as near duplicates, do not.

    \b
    Examples:
      cmmdl data check data/msrs
      cmmdl data check data/train --against data/test
      cmmdl data check data/msrs --as msrs --json
      cmmdl data check flights --ir-name '*_T' --vis-name '*_V' --recursive
    """  # noqa: D301
    from cmmdl.datasets import check_sets, find_sets
    from cmmdl.files.images import quiet_decoders

    quiet_decoders()
    naming = take_naming(options)
    sets = find_sets(folder, naming)
    others = [replace(one, name=str(one.first.parent)) for other in against for one in find_sets(other, naming)]
    data = _published(folder, name)
    show = not (quiet or as_json)
    notes = Notes(not show, options["strict"])
    ranges = {name: options[name] for name in ("ir_range", "vis_range")}
    report = check_sets(
        sets, against=others, data=data, naming=naming, workers=workers, progress=show, note=notes, **ranges
    )
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **report.to_dict()}, indent=2))
    _finish(report, quiet, as_json)
    if status := notes.status():
        sys.exit(status)


def _published(folder: Path, name: str | None) -> DataSet | None:
    """What a folder should be: as asked, or as its own card says."""
    from cmmdl.datasets import find_data_set
    from cmmdl.datasets.preparation import CARD

    if name:
        return find_data_set(name)
    try:
        return find_data_set(str(json.loads((folder / CARD).read_text(encoding="utf-8"))["name"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CARD} cannot be used ({error}); remove it, or pass --as NAME") from error


def _show(data: DataSet) -> None:
    """All that is known of one data set, and what to do."""
    written = {
        ", ".join(f"OUT/{split}/{side}" for split in layout for side in data.sides): None for layout in data.layouts
    }
    rows = [
        ("source", data.source),
        ("terms", f"{data.terms} (as far as known here; the source decides)"),
        ("paper", data.paper),
        ("split", data.split),
        ("size", _size(data)),
        ("looks for", " or ".join(_layout(layout) for layout in data.layouts)),
        ("writes", " or ".join(written)),
        ("by hand", f"download it from the source. {data.hint}".strip()),
        ("then", f"cmmdl data prepare {data.name} --from ARCHIVE_OR_FOLDER -o data/{data.name}"),
    ]
    click.echo(f"{data.name}: {data.title}")
    for key, text in rows:
        click.echo(click.wrap_text(f"{key.ljust(10)}{text}", 100, "  ", " " * 12))


def _layout(layout: object) -> str:
    assert isinstance(layout, dict)
    return ", ".join(f"{first} with {second}" for first, second in layout.values())


def _size(data: DataSet) -> str:
    return f"{data.size[0]}x{data.size[1]}" if data.size else "differs"


def _say_plan(plan: Preparation, out: Path) -> None:
    from cmmdl.datasets.report import counted

    click.echo(f"{plan.source}: {plan.data.title}")
    if plan.sha256:
        click.echo(f"SHA-256 {plan.sha256}")
    for split in plan.splits:
        alone = f", {counted(len(split.unpaired), 'picture')} without partner" if split.unpaired else ""
        click.echo(f"{out / split.name}: {counted(len(split.pairs), 'pair')}{alone}")


def _plan_as_data(plan: Preparation, out: Path) -> dict[str, object]:
    return {
        "name": plan.data.name,
        "from": str(plan.source),
        "sha256": plan.sha256,
        "output": str(out),
        "bytes": plan.bytes,
        "planned": {split.name: {"pairs": len(split.pairs), "unpaired": split.unpaired} for split in plan.splits},
    }


def _finish(report: Report, quiet: bool, as_json: bool) -> None:
    """Prints the report and ends with its status."""
    if not as_json:
        told = report.lines() if not quiet else report.problem_lines()
        for line in told:
            click.echo(line)
        if not (quiet or report.problems):
            click.echo("no problems")
    if report.problems:
        sys.exit(INCOMPLETE)
