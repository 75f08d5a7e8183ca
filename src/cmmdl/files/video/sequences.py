"""Clips that are pictures: numbered files, and TIFF files of many pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from cmmdl.errors import UnreadableError, UserError
from cmmdl.files.images import MAX_PIXELS, Array, Note, read_image
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, Frame

PATTERN = re.compile(r"%0?(\d*)d")
"""A number in a file name, as FFmpeg and printf write it: ``%06d``."""


class NumberedPictures:
    """Files such as ``ir/%06d.png``, as a `cmmdl.files.video.clip.Clip`; a missing number is a dropped frame.

    Args:
        pattern: A path with one ``%06d`` or ``%d`` in its last part.
        rate: Frames a second; None takes 25 and says so.
        first: The number at time 0; None is the first that is there.
        max_pixels: Largest picture that is read.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If no file matches, or the first is no picture.
    """

    def __init__(
        self, pattern: str, *, rate: Fraction | None, first: int | None, max_pixels: int = MAX_PIXELS, note: Note
    ) -> None:
        self.paths = numbered(pattern)
        self.numbers = sorted(self.paths)
        self.rate = _rate(pattern, rate, note)
        self.first = self.numbers[0] if first is None else first
        self.max_pixels, self.note = max_pixels, note
        shape = self._read(self.numbers[0]).shape
        span = self.numbers[-1] - self.first + 1
        self.facts = Facts(
            pattern,
            shape[0],
            shape[1],
            rate=self.rate,
            time_base=1 / self.rate,
            count=len(self.numbers),
            seconds=float(span / self.rate),
        )

    def frames(self) -> Iterator[Frame]:
        """The pictures by their numbers."""
        for number in self.numbers:
            yield Frame((number - self.first) / self.rate, self._read(number))

    def sample(self, count: int) -> list[Array]:
        """Pictures spread over the numbers."""
        return [self._read(self.numbers[index]) for index in evenly(len(self.numbers), count)]

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, number: int) -> Array:
        return read_image(self.paths[number], max_pixels=self.max_pixels, note=self.note)


class Pages:
    """A TIFF file of many pages, as a `cmmdl.files.video.clip.Clip`.

    Args:
        path: The file.
        rate: Frames a second; None takes 25 and says so.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If it is no TIFF file, or its pages differ in size.
    """

    def __init__(self, path: str, *, rate: Fraction | None, note: Note) -> None:
        self.path, self.rate = path, _rate(path, rate, note)
        self.file = _open_tiff(path)
        first = self.file.pages[0].asarray()
        self.shape = first.shape
        count = len(self.file.pages)
        self.facts = Facts(
            path,
            first.shape[0],
            first.shape[1],
            rate=self.rate,
            time_base=1 / self.rate,
            count=count,
            seconds=float(count / self.rate),
        )

    def frames(self) -> Iterator[Frame]:
        """The pages in their order."""
        for index in range(len(self.file.pages)):
            yield Frame(index / self.rate, self._page(index))

    def sample(self, count: int) -> list[Array]:
        """Pages spread over the file."""
        return [self._page(index) for index in evenly(len(self.file.pages), count)]

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def _page(self, index: int) -> Array:
        try:
            pixels: Array = self.file.pages[index].asarray()
        except Exception as error:  # decoders raise anything on broken data
            raise UnreadableError(f"{self.path}: page {index + 1} is damaged; copy it again from its source") from error
        if pixels.shape != self.shape:
            raise UnreadableError(f"{self.path}: page {index + 1} is {pixels.shape}, the first {self.shape}")
        return pixels


def numbered(pattern: str) -> dict[int, Path]:
    """The files of a pattern by their numbers.

    Raises:
        UserError: If none matches.
    """
    path = Path(pattern)
    match = PATTERN.search(path.name)
    assert match is not None
    before, after = path.name[: match.start()], path.name[match.end() :]
    digits = int(match[1] or 1)
    name = re.compile(re.escape(before) + rf"(\d{{{digits},}})" + re.escape(after))
    found = {int(hit[1]): file for file in _files(path.parent) if (hit := name.fullmatch(file.name))}
    if not found:
        raise UnreadableError(f"{pattern}: no file of {path.parent} has such a name; check the folder and the digits")
    return found


def page_count(path: Path) -> int:
    """How many pages a TIFF file has; 1 for anything else."""
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return 1
    try:
        with _open_tiff(str(path)) as file:
            return len(file.pages)
    except UserError:
        return 1


def evenly(length: int, count: int) -> list[int]:
    """Up to ``count`` places in a row of ``length``, evenly spaced, the first and the last among them."""
    if length <= count:
        return list(range(length))
    return [round(index * (length - 1) / (count - 1)) for index in range(count)]


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UnreadableError(f"{folder} cannot be listed ({error.strerror}); check the path") from error


def _rate(name: str, rate: Fraction | None, note: Note) -> Fraction:
    if rate is None:
        note(f"{name} says nothing of time: {DEFAULT_RATE} frames a second are taken; give --fps")
    return rate or DEFAULT_RATE


def _open_tiff(path: str) -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UserError("TIFF recordings need tifffile: pip install 'cmmdl[video]'") from error
    try:
        return tifffile.TiffFile(path)
    except FileNotFoundError as error:
        raise UnreadableError(f"{path}: there is no such file; check the path") from error
    except Exception as error:  # anything, on broken data
        raise UnreadableError(f"{path} is not a TIFF file, or is truncated; copy it again from its source") from error
