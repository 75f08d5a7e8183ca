"""What was measured: times, spread, memory, and how rows compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from cmmdl.bench.case import Case
from cmmdl.errors import UsageError


@dataclass(frozen=True)
class Spread:
    """Times of one kind of call, in seconds.

    Attributes:
        calls: How many were timed.
        median: Half of them took less.
        p10: A tenth took less; between two calls, interpolated linearly.
        p90: Nine tenths took less.
        least: The fastest.
        most: The slowest.
    """

    calls: int
    median: float
    p10: float
    p90: float
    least: float
    most: float


def spread(seconds: Sequence[float]) -> Spread:
    """The median of some times and how they scatter around it.

    Raises:
        ValueError: If there is none.
    """
    if not seconds:
        raise ValueError("no times: there is no median")
    least, p10, middle, p90, most = (float(q) for q in np.quantile(seconds, [0, 0.1, 0.5, 0.9, 1]))
    return Spread(len(seconds), middle, p10, p90, least, most)


@dataclass(frozen=True)
class Process:
    """What one fresh process measured. Times are in seconds, memory in bytes.

    Attributes:
        calls: Of `cmmdl.Fuser`, array in, array out.
        model_calls: Of the bare model, float luma in and out; empty where the picture was tiled.
        first_result: From starting Python to the first fused picture.
        imported: Of that, importing the runtime and this package.
        loaded: Of that, loading the model.
        first_call: Of that, the first call.
        peak: Most main memory the process ever held, before the bare model ran; None where the system does not tell.
        import_peak: The same after the imports.
        device_peak: Most memory on the GPU; None without one.
        backend: The runtime that ran.
        precision: What it computed in.
        threads: CPU threads.
        device: The device in words.
        notes: What `cmmdl.Fuser` had to say, such as tiling.
    """

    calls: list[float]
    model_calls: list[float]
    first_result: float
    imported: float
    loaded: float
    first_call: float
    peak: int | None
    import_peak: int | None
    device_peak: int | None
    backend: str
    precision: str
    threads: int
    device: str
    notes: list[str]


@dataclass
class Row:
    """A case and what its processes measured.

    Attributes:
        case: What is measured.
        processes: One for each round so far.
        failure: Why it could not be measured, or not to the end.
    """

    case: Case
    processes: list[Process] = field(default_factory=list)
    failure: str = ""

    @property
    def time(self) -> Spread:
        """Of `cmmdl.Fuser`, over all calls of all rounds."""
        return spread([seconds for process in self.processes for seconds in process.calls])

    @property
    def model_time(self) -> Spread | None:
        """Of the bare model; None where the picture was tiled."""
        seconds = [seconds for process in self.processes for seconds in process.model_calls]
        return spread(seconds) if seconds else None

    @property
    def frames_per_second(self) -> float:
        """Pictures a second at the median."""
        return 1 / self.time.median

    @property
    def megapixels_per_second(self) -> float:
        """Million pixels a second at the median."""
        return self.case.megapixels / self.time.median

    @property
    def first_result(self) -> float:
        """Seconds from starting Python to the first fused picture, the median of the rounds."""
        return median(process.first_result for process in self.processes)

    @property
    def peak(self) -> int | None:
        """Most main memory of a process, in bytes: the most of the rounds."""
        return max((process.peak for process in self.processes if process.peak is not None), default=None)

    @property
    def above_import(self) -> int | None:
        """What of the peak came after the imports, in bytes: the most of the rounds."""
        known = ((process.peak, process.import_peak) for process in self.processes)
        return max((peak - before for peak, before in known if peak is not None and before is not None), default=None)

    @property
    def device_peak(self) -> int | None:
        """Most memory on the GPU in bytes; None without one."""
        return max((p.device_peak for p in self.processes if p.device_peak is not None), default=None)

    @property
    def remarks(self) -> list[str]:
        """Why it failed, and what `cmmdl.Fuser` had to say."""
        notes = [note for process in self.processes for note in process.notes]
        return list(dict.fromkeys([self.failure, *notes] if self.failure else notes))

    def speed_against(self, other: Row) -> tuple[float, float, float] | None:
        """How many times as fast as another row: by the medians, and the least and most over the rounds of both.

        Returns:
            None if one of them was not measured.
        """
        if not (self.processes and other.processes):
            return None
        rounds = [
            median(theirs.calls) / median(ours.calls)
            for ours, theirs in zip(self.processes, other.processes, strict=False)
        ]
        return other.time.median / self.time.median, min(rounds), max(rounds)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the case, the summary (None if not measured) and every process."""
        return {
            "case": asdict(self.case),
            "failure": self.failure or None,
            "summary": self._summary() if self.processes else None,
            "processes": [asdict(process) for process in self.processes],
        }

    def _summary(self) -> dict[str, Any]:
        last = self.processes[-1]
        return {
            "backend": last.backend,
            "precision": last.precision,
            "threads": last.threads,
            "device": last.device,
            "seconds": asdict(self.time),
            "model_seconds": asdict(self.model_time) if self.model_time else None,
            "frames_per_second": self.frames_per_second,
            "megapixels_per_second": self.megapixels_per_second,
            "first_result_seconds": self.first_result,
            "peak_bytes": self.peak,
            "bytes_above_import": self.above_import,
            "device_peak_bytes": self.device_peak,
        }


def baselines(rows: Sequence[Row], text: str) -> list[Row]:
    """For each row the one it is compared with: the row that has all the words, and most in common with it.

    ``torch`` compares each row with that of torch of the same size and model. Where rows with the words differ in size,
    model, precision, threads or backend, those that are like the row in the first of these come first, and so on.

    Args:
        rows: All rows.
        text: Words of a row's name, such as ``cmmdl-ivf torch``.

    Raises:
        UserError: If no row has all the words.
    """
    words = set(text.split())
    able = [row for row in rows if words and words <= set(row.case.words)]
    if not able:
        names = "; ".join(str(row.case) for row in rows)
        raise UsageError(
            f"no row matches {text!r}; give words that one row has, such as --baseline torch. The rows are: {names}"
        )
    return [max(able, key=lambda other: _likeness(row.case, other.case)) for row in rows]


def _likeness(case: Case, other: Case) -> tuple[bool, ...]:
    names = ("size", "model", "precision", "threads", "backend")
    return tuple(getattr(case, name) == getattr(other, name) for name in names)
