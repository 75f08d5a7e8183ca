"""Clips that are pictures: numbered files, and TIFF files of many pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from cmmdl.errors import UnreadableError, UnusableError, UserError
from cmmdl.files.images import MAX_PIXELS, Array, FilePicture, Note, read_image, read_picture
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
        first_one = read_picture(self.paths[self.numbers[0]], max_pixels=max_pixels)
        shape = first_one.array.shape
        span = self.numbers[-1] - self.first + 1
        self.facts = Facts(
            pattern,
            shape[0],
            shape[1],
            white=first_one.white,
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
    """A TIFF file of many pages, as a `cmmdl.files.video.clip.Clip`; each is read as the file of a picture is.

    Args:
        path: The file.
        rate: Frames a second; None takes 25 and says so.
        max_pixels: Largest page that is read.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If it is no TIFF file, its pages differ in size, or hold what is no picture.
    """

    def __init__(self, path: str, *, rate: Fraction | None, max_pixels: int = MAX_PIXELS, note: Note) -> None:
        self.path, self.rate, self.max_pixels = path, _rate(path, rate, note), max_pixels
        self.file = _open_tiff(path)
        self.file.pages.useframes = False  # else later pages lack their tags
        first = self._read(0)
        self.shape, self.dtype = first.array.shape, first.array.dtype
        for line in first.notes.values():
            note(line)
        count = len(self.file.pages)
        self.facts = Facts(
            path,
            self.shape[0],
            self.shape[1],
            white=first.white,
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
        pixels = self._read(index).array
        if (pixels.shape, pixels.dtype) != (self.shape, self.dtype):
            one, other = (f"{shape[1]}x{shape[0]} {kind}" for shape, kind in self._kinds(pixels))
            raise UnreadableError(f"{self.path}: page {index + 1} is {one}, the first {other}; save them alike")
        return pixels

    def _kinds(self, pixels: Array) -> list[tuple[tuple[int, ...], str]]:
        """Size and type of a page and of the first one; colour is told from grey."""
        kinds = ((pixels.shape, pixels.dtype), (self.shape, self.dtype))
        return [(shape, f"{'RGB ' if len(shape) == 3 else ''}{dtype}") for shape, dtype in kinds]

    def _read(self, index: int) -> FilePicture:
        from cmmdl.files.tiff import page_needs_pillow, read_page

        try:
            page = self.file.pages[index]
            if page_needs_pillow(page):
                raise UnreadableError(f"{self.path} holds printing, Lab or subsampled colours; save its pages as RGB")
            picture = read_page(Path(self.path), page, self.max_pixels)
        except UserError as error:
            raise type(error)(f"page {index + 1} of {error}") from error
        except Exception as error:  # decoders raise anything on broken data
            raise UnreadableError(f"{self.path}: page {index + 1} is damaged; copy it again from its source") from error
        if picture.array.dtype.kind == "f" and not np.isfinite(picture.array).all():
            raise UnusableError(f"{self.path}: page {index + 1} contains NaN or infinite values; replace them first")
        return picture


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
