"""Which picture files a folder holds, and the names under which they are compared."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from cmmdl.errors import UnreadableError, UserError
from cmmdl.files.images import IMAGE_SUFFIXES


class Found(NamedTuple):
    """A picture file by its name.

    Attributes:
        where: The folder that holds it, below the one that was listed: ``""``, or ``"a/b/"``.
        stem: Its name without the suffix.
        path: The file itself. The two others are normalised (Unicode NFC): a system may write ``ü`` as one character
            or as two.
    """

    where: str
    stem: str
    path: Path


def composed(text: str) -> str:
    """A name in the form in which names are compared: Unicode NFC."""
    return unicodedata.normalize("NFC", text)


def list_pictures(folder: str | Path, *, recursive: bool = False) -> list[Found]:
    """The picture files of a folder in the order of their names; hidden files and folders are left out.

    Args:
        folder: Where to look.
        recursive: Look into the folders below as well, links among them; each folder once.

    Raises:
        UserError: If it is no folder, or cannot be listed.
    """
    return _below(Path(folder), "", {os.path.realpath(folder)} if recursive else None)


def _below(folder: Path, where: str, seen: set[str] | None) -> list[Found]:
    """The pictures of one folder, and of those below unless ``seen`` is None."""
    found: list[Found] = []
    for entry in _entries(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if seen is not None and real not in seen:
                seen.add(real)
                found += _below(Path(entry.path), f"{where}{composed(entry.name)}/", seen)
            continue
        picture = picture_of(where, entry.name, Path(entry.path))
        found += [picture] if picture is not None else []
    return found


def picture_of(where: str, name: str, path: Path) -> Found | None:
    """A file of a folder as `list_pictures` has it; None for a hidden one, or one of another kind by its name."""
    stem, suffix = os.path.splitext(name)
    counts = not name.startswith(".") and suffix.lower() in IMAGE_SUFFIXES
    return Found(where, composed(stem), path) if counts else None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except NotADirectoryError as error:
        raise UserError(f"{folder} is not a folder; give the folder that holds the pictures") from error
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}); check the path and its permissions") from error


def list_images(folder: str | Path, *, strip: str = "", recursive: bool = False) -> dict[str, Path]:
    """The pictures of one folder by stem, in the order of their names.

    Args:
        folder: Where to look.
        strip: Taken off the end of each stem that has it: with ``_ir``, ``a_ir.png`` is listed as ``a``.
        recursive: Look into the folders below as well; their names stand before the stem.

    Raises:
        UserError: If it is no folder, or two files share a stem.
    """
    by_stem: dict[str, Path] = {}
    for where, stem, path in list_pictures(folder, recursive=recursive):
        name = where + (stem.removesuffix(strip) or stem)
        if name in by_stem:
            raise UserError(f"{folder}: {by_stem[name].name} and {path.name} share the stem {name!r}; remove one")
        by_stem[name] = path
    return by_stem


def read_stems(path: Path) -> set[str]:
    """The file stems in a text file, one a line.

    Raises:
        UnreadableError: If it cannot be read.
    """
    try:
        return {composed(line.strip()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read as a list of file stems, one per line") from error
