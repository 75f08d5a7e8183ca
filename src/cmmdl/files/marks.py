"""The usual words by which cameras and data sets tell the two pictures of a pair apart, found in names of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cmmdl.files.clocks import pair_by_clock
from cmmdl.files.listing import Found
from cmmdl.files.naming import WHOLE, Reading

Place = Literal["first", "last", "inside"]

INFRARED = ("ir", "infrared", "thermal", "tir", "lwir", "mwir", "therm", "t", "previewdata")
VISIBLE = ("rgb", "vis", "visible", "vi", "v", "visual", "optical", "color", "colour")
TIERS = (
    (INFRARED, VISIBLE),
    (INFRARED, ("w", "wide")),
    (INFRARED, ("z", "zoom")),
    (("mri", "mr"), ("ct", "pet", "spect")),
)
"""Words of both sides. A later line counts only where no earlier one pairs anything: a drone that saves a visible, a
wide and a zoomed picture of each shot means the first."""

SEPARATORS = "_. -"
MOST = 6
"""So many marks of a side are tried, the most frequent ones."""

_FIRST = re.compile(r"([A-Za-z]+)(?=[^A-Za-z])")
_LAST = re.compile(rf"(?:[{SEPARATORS}]|\d)([A-Za-z]+)$")
_INSIDE = re.compile(rf"(?<=[{SEPARATORS}])([A-Za-z]{{2,}})(?=[{SEPARATORS}])")


@dataclass(frozen=True)
class Mark:
    """A usual word at one place of a name; the key is the rest of the name. Case and separators do not matter.

    Attributes:
        word: In lower case.
        place: Where it stands.
        example: A name that has it, for messages.
    """

    word: str
    place: Place
    example: str

    @property
    def length(self) -> int:
        """Characters beside the key."""
        return len(self.word)

    def key(self, found: Found) -> str | None:
        """The name without the word, None if the word is not there."""
        return _rest(found.stem, self.word, self.place)

    def named(self, key: str) -> str:
        """The stem that a file of this key probably has."""
        return str(self).replace("*", key, 1)

    def __str__(self) -> str:
        rest = self.key(Found("", self.example, None)) or ""  # type: ignore[arg-type]
        if self.place == "inside":
            return f"*_{self.word}_*"
        size = len(self.example) - len(rest)
        return f"{self.example[:size]}*" if self.place == "first" else f"*{self.example[-size:]}"


def _rest(stem: str, word: str, place: Place) -> str | None:
    size = len(word)
    if place == "first":
        rest = stem[size:].lstrip(SEPARATORS)
        fits = stem[:size].lower() == word and not stem[size : size + 1].isalpha()
    elif place == "last":
        head = stem[:-size]
        rest = head.rstrip(SEPARATORS)
        fits = stem[-size:].lower() == word and (rest != head or head[-1:].isdigit())
    else:
        found = next((one for one in _INSIDE.finditer(stem) if one[1].lower() == word), None)
        rest = stem[: found.start()] + stem[found.end() + 1 :] if found else ""
        fits = found is not None
    return rest if fits and rest else None


def find_marks(first: Sequence[Found], second: Sequence[Found], *, one_folder: bool) -> tuple[Reading, Reading] | None:
    """The marks of both sides that pair most, if they pair more than whole stems do.

    Args:
        first: Files among which the infrared ones are.
        second: Files among which the visible ones are; the same in one folder for both.
        one_folder: Whether whole stems are no choice.

    Returns:
        How the keys of infrared and of visible files are read.
    """
    whole = 0 if one_folder else _count(first, second, (WHOLE, WHOLE))
    if not one_folder and whole >= min(len(first), len(second)):
        return None
    for equally_usual in _candidates(first, second):
        counts = [_count(first, second, readings) for readings in equally_usual]
        if max(counts, default=0) > whole:
            return equally_usual[counts.index(max(counts))]
    return None


def _count(first: Iterable[Found], second: Iterable[Found], readings: tuple[Reading, Reading]) -> int:
    """How many pairs two readings give."""
    one, two = (
        {found.where + key for found in files if (key := reading.key(found))}
        for files, reading in zip((first, second), readings, strict=True)
    )
    return len(one & two) + len(pair_by_clock(one - two, two - one))


def _candidates(first: Sequence[Found], second: Sequence[Found]) -> Iterator[list[tuple[Reading, Reading]]]:
    """Readings of both sides that may pair them, the more usual ones first; lists of equally usual ones."""
    for words, partners in TIERS:
        yield [(one, two) for one in _marks(first, words) for two in _marks(second, partners)]
    yield [
        *((one, WHOLE) for one in _marks(first, INFRARED)),
        *((WHOLE, two) for two in _marks(second, VISIBLE)),
    ]


def _marks(files: Sequence[Found], words: Sequence[str]) -> list[Mark]:
    """The marks that are there, the most frequent first."""
    counts: Counter[tuple[str, Place]] = Counter()
    examples: dict[tuple[str, Place], str] = {}
    for found in files:
        for mark in _words_in(found.stem, words):
            counts[mark] += 1
            examples.setdefault(mark, found.stem)
    return [Mark(*mark, examples[mark]) for mark, _ in counts.most_common(MOST)]


def _words_in(stem: str, words: Sequence[str]) -> Iterator[tuple[str, Place]]:
    search: tuple[tuple[Place, Callable[[str], Iterator[re.Match[str]]]], ...] = (
        ("first", lambda text: iter(filter(None, [_FIRST.match(text)]))),
        ("last", lambda text: iter(filter(None, [_LAST.search(text)]))),
        ("inside", _INSIDE.finditer),
    )
    for place, find in search:
        for found in find(stem):
            if (word := found[1].lower()) in words:
                yield word, place
