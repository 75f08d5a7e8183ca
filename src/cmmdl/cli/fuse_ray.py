"""``cmmdl fuse --ray``: a folder on a cluster, with files anywhere that fsspec has an address for."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cmmdl.cli.fuse_ending import BAR, say, tell_end
from cmmdl.cli.fuse_thermal import model_of, settle, write_reports
from cmmdl.cli.fuse_todo import still_to_do
from cmmdl.cli.naming import take_naming
from cmmdl.cli.notes import Notes
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.files.pairs import Pair
    from cmmdl.files.works import Places, Work
    from cmmdl.fusion.cluster.job import Job, Told
    from cmmdl.fusion.cluster.rounds import Run
    from cmmdl.fusion.folder import Outcome
    from cmmdl.fusion.options import FuseOptions

    PairOptions = Callable[[list[Pair], dict[str, Any], Notes], FuseOptions]

Command = TypeVar("Command", bound=Callable[..., Any])


def ray_options(command: Command) -> Command:
    """Adds ``--ray`` and ``--workers``."""
    ray = click.option(
        "--ray",
        metavar="ADDRESS",
        help="Fuse a folder on a cluster of Ray: HOST:PORT, auto (the one that runs on this computer) or local (one "
        "that is started for it). Folders may be addresses such as s3://bucket/ir.",
    )
    workers = click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="With --ray: so many fusers at most  [default: one a GPU, or one for every 2 CPUs]",
    )
    return ray(workers(command))


def fuse_on_cluster(
    ir: Path | str, vis: Path | str | None, out: Path | str | None, options: dict[str, Any], pair_options: PairOptions
) -> int:
    """Fuses the pairs of a folder on a cluster; returns the exit status.

    Args:
        ir: Folder of infrared pictures, a path or an address.
        vis: Folder of visible pictures; None where each file holds both.
        out: Folder of the results.
        options: Of the command line.
        pair_options: Settles what is asked of every pair, with the range of all of them.
    """
    from cmmdl.files.works import existing_works, pair_works
    from cmmdl.fusion.cluster.nodes import check_address, check_answers

    check_address(options["ray"])
    places = _places(ir, vis, out)
    naming, temperature = take_naming(options), options["temperature"]
    if isinstance(temperature, str):
        options["temperature"] = Path("temperature")  # of each worker, which takes them away
    settle(options, Path(places.out), folder=True)
    options["one_file"] = vis is None
    check_answers(options["ray"])
    notes = Notes(options["quiet"], options["strict"])
    every, left_out = pair_works(places, naming, suffix=f".{options['suffix'].lower()}", note=notes)
    todo, left_out, skipped = still_to_do(
        every, left_out, lambda own: existing_works(own, places.out), places.out, options
    )
    if not todo:
        return tell_end([], left_out, skipped, options, notes)
    job = _job(every, options, notes, pair_options, str(temperature or ""))
    outcomes, facts = _fused(todo, job, places, options, notes)
    return tell_end(outcomes, left_out, skipped, options, notes, **facts)


def _places(ir: Path | str, vis: Path | str | None, out: Path | str | None) -> Places:
    """The three folders, as far as the arguments alone can be checked."""
    from cmmdl.files.addresses import is_remote
    from cmmdl.files.works import Places

    if out is None:
        raise UsageError(f"{ir}: say where the results go with -o")
    for place in (ir, vis):
        if place is not None and not is_remote(place) and not Path(place).exists():
            raise UserError(f"{place}: there is no such folder; check the path")
        if place is not None and not is_remote(place) and not Path(place).is_dir():
            raise UsageError(f"{place} is a file; --ray fuses folders, leave it out for two files")
    return Places(str(ir), None if vis is None else str(vis), str(out))


def _job(
    every: Sequence[Work], options: dict[str, Any], notes: Notes, pair_options: PairOptions, temperature: str
) -> Job:
    """What the workers are told; the range is that of the whole folder, some of whose files are read for it."""
    from cmmdl.files.addresses import read_bytes
    from cmmdl.files.ranges import sampled
    from cmmdl.files.works import brought, names_of
    from cmmdl.fusion.cluster.job import Job, carried, carried_transform
    from cmmdl.fusion.sources import looked_at

    model, files = carried(model_of(options))
    with tempfile.TemporaryDirectory(prefix="cmmdl-") as folder:
        wanted = {*sampled(len(every)), *looked_at(len(every))} if _reads_for_range(options) else ()
        pairs = brought(every, sorted(wanted), Path(folder), read_bytes)
        names = [name for pair, work in zip(pairs, every, strict=True) for name in names_of(pair, work)]
        asked = pair_options(pairs, options, _Named(notes, names))
    fuser = {name: options[name] for name in ("backend", "precision", "tile", "stretch", "max_pixels")}
    transform = carried_transform(options["transform"])
    here = os.getcwd()
    return Job(model, files, fuser, asked, options["products"], transform, options["one_file"], here, temperature)


class _Named(Notes):
    """Notes with the addresses that were given in place of the files here."""

    def __init__(self, notes: Notes, names: list[tuple[str, str]]) -> None:
        super().__init__(notes.quiet, notes.strict)
        self._notes, self._names = notes, names

    def __call__(self, text: str) -> None:
        """Passes a note on."""
        from cmmdl.files.works import by_address

        self._notes(type(text)(by_address(text, self._names)))


def _reads_for_range(options: dict[str, Any]) -> bool:
    """Whether a range depends on the pictures."""
    from cmmdl.files.ranges import parse_range

    rules = [parse_range(options[f"{side}_range"], side).kind for side in ("ir", "vis") if options[f"{side}_range"]]  # type: ignore[arg-type]
    return any(kind in ("auto", "percent", "default") for kind in rules)


def _fused(
    works: list[Work], job: Job, places: Places, options: dict[str, Any], notes: Notes
) -> tuple[list[Outcome], dict[str, Any]]:
    """Fuses with a progress bar; returns what became of each pair in their order, and facts of the run."""
    import ray

    from cmmdl.files.addresses import as_path, is_remote
    from cmmdl.fusion.cluster.nodes import connect, living_nodes
    from cmmdl.fusion.cluster.rounds import Run, quiet_data
    from cmmdl.fusion.cluster.sight import check_nodes
    from cmmdl.fusion.folder import prepare_folder

    folders = _folders_here(works, job, places, options)
    joined = ray.is_initialized()
    connect(options["ray"])
    try:
        for folder in folders:
            prepare_folder(folder)
        files = [os.path.join(job.here, one) if not is_remote(one) else one for one in (works[0].ir, works[0].vis)]
        check_nodes(living_nodes(), files, None if is_remote(places.out) else as_path(places.out))
        quiet_data()
        run = Run(works, job, options["threads"], options["device"], options["workers"])
        run.check()
        start = time.perf_counter()
        ended = _with_bar(run, options, notes)
        seconds = time.perf_counter() - start
        for folder in folders:
            prepare_folder(folder)  # what a killed worker left half-written
    finally:
        if not joined:
            ray.shutdown()
    outcomes = _outcomes(works, ended)
    write_reports(outcomes, options, folder=True)
    return outcomes, _tell_run(run, ended, seconds, places, options)


def _folders_here(works: Sequence[Work], job: Job, places: Places, options: dict[str, Any]) -> list[Path]:
    """Every folder on a path that something is written into, once."""
    from cmmdl.files.addresses import as_path, is_remote

    folders = [] if is_remote(places.out) else [as_path(work.out).parent for work in works]
    if job.temperature and not is_remote(job.temperature):
        folders.append(as_path(job.temperature))
    if options["report"] is not None:
        folders.append(options["report"].parent)
    return list(dict.fromkeys(folders))


def _with_bar(run: Run, options: dict[str, Any], notes: Notes) -> dict[int, Told]:
    """Follows a run; says each note once, whichever worker it comes from."""
    from tqdm import tqdm

    from cmmdl.files.notes import ResultNote, UndoneNote

    ended: dict[int, Told] = {}
    said: set[str] = set()
    quiet = options["quiet"] or options["as_json"]
    for told in tqdm(run.ended(), total=len(run.works), unit=" pictures", bar_format=BAR, disable=quiet):
        ended[told.number] = told
        for matters, undone, text, nameless in told.notes:
            if undone or nameless not in said:
                said.add(nameless)
                notes(UndoneNote(text) if undone else ResultNote(text) if matters else text)
    return ended


def _outcomes(works: Sequence[Work], ended: dict[int, Told]) -> list[Outcome]:
    from cmmdl.fusion.folder import Outcome

    told = [(work, ended[number]) for number, work in enumerate(works)]
    return [Outcome(work, one.error, one.doubt, one.report) for work, one in told]


def _tell_run(
    run: Run, ended: dict[int, Told], seconds: float, places: Places, options: dict[str, Any]
) -> dict[str, Any]:
    """Says the throughput, and how much was done twice; returns both for ``--json``."""
    done = sum(not told.error for told in ended.values())
    on = next((told.on for told in ended.values() if told.on), "")
    first, last = run.workers[0], run.workers[-1]
    workers = f"{last} worker{'s' if last > 1 else ''}{f' ({first} at first)' if first != last else ''}"
    rate = f"{done / seconds:.2f} pictures a second"
    say(
        options,
        f"{places.out}: {done} fused in {seconds:.1f} s ({rate}) by {workers} on {on}, model {options['model']}",
    )
    if run.repeated:
        again = f"{run.repeated} pair{'s were' if run.repeated > 1 else ' was'}"
        say(options, f"{again} begun again, since a worker or node was lost; every result is there once")
    return {"seconds": seconds, "workers": last, "pools": run.rounds, "repeated": run.repeated}
