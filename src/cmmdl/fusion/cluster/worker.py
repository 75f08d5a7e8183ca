"""One of the workers of a run: an actor with one fuser, which is given blocks of pairs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmmdl.errors import UserError
from cmmdl.files.addresses import as_path, is_remote, join, read_bytes, store
from cmmdl.files.notes import ResultNote, UndoneNote
from cmmdl.files.pairs import Pair
from cmmdl.files.works import Work, bring, by_address, names_of, pair_here
from cmmdl.fusion.cluster.job import Job, Said, Told
from cmmdl.fusion.cluster.ledger import MOST
from cmmdl.fusion.folder import fuse_pairs
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.products import Products

Rows = dict[str, Any]
"""Columns of a block as Ray Data gives them: ``number``, ``stem``, ``ir``, ``vis`` and ``out``."""

DIED = "its worker died {times} times while it was fused, perhaps for lack of memory; try it alone, or with --tile 512"


class Worker:
    """Fuses blocks of pairs.

    Args:
        job: What is to be done with each.
        ledger: Handle of the `cmmdl.fusion.cluster.ledger.Ledger` of the run.
        device: ``"cpu"``, or ``"auto"`` for the GPU that Ray gives it.
        threads: CPU threads.
        pool: Number of the pool it belongs to.
    """

    def __init__(self, job: Job, ledger: Any, device: str, threads: int, pool: int) -> None:
        ledger.join.remote(pool)
        self.job, self.ledger = job, ledger
        self.trouble, self.on = "", ""
        self._notes: list[str] = []
        try:
            self.fuser = job.open(self._notes.append, device, threads)
            self.on = self.fuser.backend.describe()
        except (UserError, ImportError) as error:
            self.trouble = str(error)

    def __call__(self, rows: Rows) -> dict[str, list[str]]:
        """Fuses a block; the column ``told`` has a `Told` as text for each pair."""
        works = {
            int(number): Work(*map(str, words))
            for number, *words in zip(*(rows[name] for name in ("number", "stem", "ir", "vis", "out")), strict=True)
        }
        if self.trouble:
            return {"told": [Told(number, self.trouble, fatal=True).as_text() for number in works]}
        return {"told": list(self._block(works))}

    def _block(self, works: dict[int, Work]) -> Iterator[str]:
        """What became of the pairs of a block; those that were begun before, by a worker that died, one by one."""
        import ray

        known = dict(zip(works, ray.get(self.ledger.known.remote(list(works))), strict=True))
        yield from (told for _, told in known.values() if told)
        fresh = [number for number, (begun, _) in known.items() if not begun]
        again = [[number] for number, (begun, told) in known.items() if begun and not told]
        for numbers in [fresh, *again]:
            begun = max((known[number][0] for number in numbers), default=0)
            if begun >= MOST:
                ended: Iterator[Told] = iter([Told(numbers[0], DIED.format(times=begun))])
            else:
                ended = self._fused({number: works[number] for number in numbers})
            for one in ended:
                text = one.as_text()
                ray.get(self.ledger.end.remote(one.number, text))
                yield text

    def _fused(self, works: dict[int, Work]) -> Iterator[Told]:
        """Fuses some pairs, the files of which are brought, and the results taken away, where they lie elsewhere."""
        with tempfile.TemporaryDirectory(prefix="cmmdl-") as folder:
            errand = Errand(self.job, works, Path(folder), self.ledger)
            calls = {"before": errand.before, "after": errand.after}
            one_file = self.job.one_file
            ended = fuse_pairs(self.fuser, errand.pairs, errand.options, errand.products, one_file=one_file, **calls)
            last = min(works, default=0)
            try:
                for outcome in ended:
                    last = errand.numbers[outcome.pair.stem]
                    told = Told(last, errand.named(outcome.error), outcome.doubt, outcome.report, on=self.on)
                    yield replace(told, notes=self._taken_notes(errand))
            except UserError as error:
                yield Told(last, errand.named(str(error)), fatal=True)
            except Exception as error:  # a fault of the program, which would come again with the next pair
                yield Told(last, f"{works[last].stem}: {type(error).__name__}: {error}", fatal=True)

    def _taken_notes(self, errand: Errand) -> list[Said]:
        """The notes since the last time."""
        taken, self._notes[:] = list(self._notes), []
        return [
            (isinstance(one, ResultNote), isinstance(one, UndoneNote), errand.named(one), errand.nameless(one))
            for one in taken
        ]


class Errand:
    """Brings the files of some pairs, and takes their results away.

    Attributes:
        pairs: The pairs as files of this computer.
        numbers: Stem -> number of the pair.
        options: Of each.
        products: What is wanted of each.
    """

    def __init__(self, job: Job, works: dict[int, Work], folder: Path, ledger: Any) -> None:
        self.job, self.folder, self.ledger = job, folder, ledger
        self.works = {work.stem: _absolute(work, job.here) for work in works.values()}
        self.numbers = {work.stem: number for number, work in works.items()}
        self.pairs = [pair_here(work, folder / str(self.numbers[stem])) for stem, work in self.works.items()]
        self.options, self.products = self._options(), self._products()
        self._names = [
            name for pair, work in zip(self.pairs, works.values(), strict=True) for name in names_of(pair, work)
        ]

    def before(self, pair: Pair) -> None:
        """Brings the files of a pair; called in another thread."""
        import ray

        ray.get(self.ledger.begin.remote(self.numbers[pair.stem]))
        if self._goes_away(pair):
            pair.out.parent.mkdir(parents=True, exist_ok=True)
        bring(self.works[pair.stem], pair, read_bytes)

    def after(self, pair: Pair) -> None:
        """Takes the results of a pair away; the picture comes last, since where it is the pair is done."""
        celsius = self._temperature(pair.stem)
        if is_remote(self.job.temperature) and celsius.is_file():
            name = join(self.job.temperature, f"{pair.stem}.temperature.tif")
            store(name, celsius.read_bytes(), replace=self.job.products.replace)
            celsius.unlink()
        if self._goes_away(pair):
            store(self.works[pair.stem].out, pair.out.read_bytes(), replace=self.job.products.replace)
        for path in (pair.ir, pair.vis, pair.out):
            if path.is_relative_to(self.folder):
                path.unlink(missing_ok=True)

    def named(self, text: str) -> str:
        """A message with the addresses that were given in place of the files here."""
        return by_address(text, self._names)

    def nameless(self, text: str) -> str:
        """A message without names of files: of those that differ in these only, one is said."""
        return by_address(text, ((path, "") for path, _ in self._names))

    def _goes_away(self, pair: Pair) -> bool:
        return is_remote(self.works[pair.stem].out)

    def _temperature(self, stem: str) -> Path:
        return self.folder / "temperature" / f"{stem}.temperature.tif"

    def _options(self) -> FuseOptions:
        """The options with a stored transform as a file of this computer."""
        given = self.job.options.transform
        if not isinstance(given, Path):
            return self.job.options
        for name, content in self.job.transform.items():
            (self.folder / name).write_bytes(content)
        return replace(self.job.options, transform=self.folder / given.name)

    def _products(self) -> Products:
        if not self.job.temperature:
            return self.job.products
        remote = is_remote(self.job.temperature)
        place = self.folder / "temperature" if remote else Path(_below(self.job.temperature, self.job.here))
        return replace(self.job.products, temperature=place)


def _absolute(work: Work, here: str) -> Work:
    """The same with paths that do not depend on the folder a process was started in."""
    return Work(work.stem, *(_below(address, here) for address in (work.ir, work.vis, work.out)))


def _below(address: str, here: str) -> str:
    return address if is_remote(address) else os.path.join(here, as_path(address))


def rows_of(works: Sequence[Work], numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of some pairs, as `Worker` takes them."""
    return [
        {"number": number, "stem": work.stem, "ir": work.ir, "vis": work.vis, "out": work.out}
        for number, work in zip(numbers, works, strict=True)
    ]
