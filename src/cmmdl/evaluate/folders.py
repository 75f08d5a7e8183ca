"""Scoring whole folders, or the files of one scene."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cmmdl.errors import UsageError, UserError
from cmmdl.evaluate.result import Evaluation, collect
from cmmdl.evaluate.scenes import Exclusion, Scene, find_scenes
from cmmdl.evaluate.scoring import Protocol, score_scenes
from cmmdl.files.images import Note
from cmmdl.files.naming import Naming
from cmmdl.files.notes import ResultNote
from cmmdl.files.pairs import match_folders
from cmmdl.files.ranges import Given, settled
from cmmdl.metrics import METRICS, chosen
from cmmdl.models.baselines import BASELINES


def evaluate_folder(
    methods: Mapping[str, str | Path],
    ir: str | Path,
    vis: str | Path,
    *,
    convention: str = "cmmdl",
    metrics: Sequence[str] | None = None,
    baselines: Sequence[str] = (),
    stretch: bool = False,
    workers: int | None = None,
    progress: bool = False,
    fused_suffix: str = "",
    ir_suffix: str = "",
    vis_suffix: str = "",
    ir_name: str = "",
    vis_name: str = "",
    recursive: bool = False,
    ir_range: Given = None,
    vis_range: Given = None,
    note: Note = warnings.warn,
) -> Evaluation:
    """Scores folders of fused pictures against the folders of their sources.

    Files belong together by stem. A scene that lacks a file, or has one that cannot be read, scored, or differs in
    size, is left out for all methods alike and listed in :attr:`Evaluation.excluded`.

    Args:
        methods: Name → folder of fused pictures.
        ir: Folder of infrared pictures.
        vis: Folder of visible pictures.
        convention: A name of :data:`cmmdl.metrics.CONVENTIONS`.
        metrics: Names of :data:`cmmdl.metrics.METRICS`, in any case; None takes the convention's own.
        baselines: Names of :data:`cmmdl.models.baselines.BASELINES`, fused from the grey sources and scored as well.
        stretch: Stretch fused pictures to 0..255 by minimum and maximum before scoring, as many papers' programs do
            when they write their results.
        workers: Processes; None takes all cores.
        progress: Whether to show a bar on standard error.
        fused_suffix: Stripped from fused stems before pairing, such as ``_fused``; ``{method}`` in it stands for the
            method's name.
        ir_suffix: Stripped from infrared stems, such as ``_ir``.
        vis_suffix: Stripped from visible stems.
        ir_name: Names of infrared files, such as ``IR_*``; the star is what the names of a scene share.
        vis_name: The same of visible files.
        recursive: Pair the folders below as well, each with those of the same name.
        ir_range: Which values of the infrared pictures mean black and white, as in :class:`cmmdl.Fuser`; ``"auto"`` is
            one range for all pairs, the one that ``cmmdl fuse`` takes for the same folders.
        vis_range: The same of the visible pictures.
        note: Called with a line about how names were read, where nothing was said about them, and about ranges.

    Returns:
        All scores.

    Raises:
        UserError: If a name is unknown or double, a folder is missing, or no scene is left to score.
    """
    protocol = _protocol(methods, convention, metrics, baselines, stretch)
    naming = Naming(ir_name, vis_name, ir_suffix, vis_suffix, recursive)
    scenes, missing = find_scenes(methods, ir, vis, naming, fused_suffix=fused_suffix, note=note)
    pairs = list(match_folders(Path(ir), Path(vis), naming).both.values())
    protocol = _ranged(protocol, pairs, ir_range, vis_range, note)
    return _evaluate(scenes, missing, protocol, list(methods), workers, progress)


def evaluate_files(
    methods: Mapping[str, str | Path],
    ir: str | Path,
    vis: str | Path,
    *,
    convention: str = "cmmdl",
    metrics: Sequence[str] | None = None,
    baselines: Sequence[str] = (),
    stretch: bool = False,
    ir_range: Given = None,
    vis_range: Given = None,
    note: Note = warnings.warn,
) -> Evaluation:
    """Scores one scene; names of files need not agree. Arguments as in :func:`evaluate_folder`, but files.

    Raises:
        UserError: As there, and if a file cannot be read or scored.
    """
    protocol = _protocol(methods, convention, metrics, baselines, stretch)
    protocol = _ranged(protocol, [(Path(ir), Path(vis))], ir_range, vis_range, note)
    scene = Scene(Path(vis).stem, Path(ir), Path(vis), {name: Path(file) for name, file in methods.items()})
    return _evaluate([scene], [], protocol, list(methods), 1, False)


def _evaluate(
    scenes: list[Scene],
    missing: list[Exclusion],
    protocol: Protocol,
    methods: list[str],
    workers: int | None,
    progress: bool,
) -> Evaluation:
    scored, trouble = score_scenes(scenes, protocol, workers=workers, progress=progress)
    excluded = sorted(missing + trouble, key=lambda exclusion: exclusion.picture)
    if not scored:
        reasons = "; ".join(str(exclusion) for exclusion in excluded[:3])
        more = f"; and {len(excluded) - 3} more" if len(excluded) > 3 else ""
        raise UserError(f"nothing could be scored: {reasons}{more}")
    names = (*methods, *protocol.baselines)
    return Evaluation(
        convention=protocol.convention,
        stretch=protocol.stretch,
        metrics=protocol.metrics,
        higher=tuple(METRICS[metric].direction == "higher" for metric in protocol.metrics),
        methods=names,
        pictures=tuple(scored),
        scores=collect(scored, names, protocol.metrics),
        excluded=tuple(excluded),
    )


def _protocol(
    methods: Iterable[str], convention: str, metrics: Sequence[str] | None, baselines: Sequence[str], stretch: bool
) -> Protocol:
    """Checks all names before anything is read."""
    _, columns = chosen(convention, metrics)
    _check_single(columns, "metric")
    for name in baselines:
        if name not in BASELINES:
            raise UsageError(f"unknown baseline {name!r}; choose from {', '.join(BASELINES)}")
    names = [*methods, *baselines]
    if not names:
        raise UserError("there is nothing to evaluate; give a folder of fused pictures or a baseline")
    _check_single(names, "method")
    return Protocol(convention, tuple(columns), stretch, tuple(baselines))


def _ranged(
    protocol: Protocol, pairs: list[tuple[Path, Path]], ir_range: Given, vis_range: Given, note: Note
) -> Protocol:
    """The protocol with one range a side for all pairs."""
    one, more = settled(ir_range, [pair[0] for pair in pairs], "ir")
    two, yet_more = settled(vis_range, [pair[1] for pair in pairs], "vis")
    for text in (*more, *yet_more):
        note(ResultNote(text))
    return replace(protocol, ir_range=one, vis_range=two)


def _check_single(names: Sequence[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{kind} {name!r} was given twice; keep one")
