"""Files out of a ZIP or TAR archive, or a folder, without trusting it.

Names in an archive never become paths: a caller says where each file goes. Links and devices are left out, an
archive with paths that lead out of it is refused, and what it unpacks to is bounded before anything is written.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from cmmdl.errors import UserError

MAX_FILE = 2**30
"""Bytes above which a file in an archive is no picture."""

MAX_TOTAL = 64 * 2**30
"""Bytes that an archive may unpack to."""

MAX_RATIO = 200
"""How many times its own size an archive may unpack to, above `FREE_OF_RATIO` bytes; pictures hardly shrink."""

FREE_OF_RATIO = 2**30

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def list_files(source: Path) -> dict[str, int]:
    """The plain files of an archive or folder.

    Args:
        source: A folder, or a ``.zip`` or ``.tar`` archive (also ``.tar.gz``, ``.bz2``, ``.xz``).

    Returns:
        Path inside, with ``/`` between its parts -> bytes; links and hidden files are left out.

    Raises:
        UserError: If it is no archive, damaged, encrypted, or not to be trusted.
    """
    with _readable(source):
        if source.is_dir():
            return {name: path.stat().st_size for name, path in _walk(source)}
        files, total = dict[str, int](), 0
        for name, size in _members(source):
            total += size
            _check_member(source, name, size, total)
            if not _hidden(name):
                files[name] = size
        return files


def copy_files(source: Path, wanted: Mapping[str, Path], *, link: bool = False) -> Iterator[Path]:
    """Copies files out, in the order they lie in, byte for byte.

    Args:
        source: As in `list_files`.
        wanted: Path inside -> where it goes; folders must be there.
        link: Make hard links rather than copies; of a folder only.

    Yields:
        Each file that was written.

    Raises:
        UserError: If something cannot be read or written.
    """
    with _readable(source):
        if source.is_dir():
            for name, target in wanted.items():
                _copy_or_link(source / name, target, link)
                yield target
        elif zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for name, target in wanted.items():
                    with archive.open(name) as data:
                        yield _written(data, target)
        else:
            with tarfile.open(source) as tar:
                for member in tar:
                    data_of = tar.extractfile(member) if member.isreg() and member.name in wanted else None
                    if data_of is not None:
                        yield _written(data_of, wanted[member.name])


def _members(source: Path) -> Iterator[tuple[str, int]]:
    """Name and unpacked bytes of the plain files of an archive."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if info.flag_bits & 1:
                    raise UserError(f"{source} is encrypted; unpack it by hand and give the folder")
                if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                    yield info.filename, info.file_size
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as tar:
            for member in tar:
                if member.isreg():
                    yield member.name, member.size
    else:
        raise UserError(f"{source} is not a ZIP or TAR archive; unpack it by hand and give the folder")


def _check_member(source: Path, name: str, size: int, total: int) -> None:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or (path.parts and ":" in path.parts[0])
    ):
        raise UserError(f"{source} is not to be trusted: it holds the path {name!r}; get it from its source again")
    unlike_pictures = total > FREE_OF_RATIO and total > MAX_RATIO * source.stat().st_size
    if size > MAX_FILE or total > MAX_TOTAL or unlike_pictures:
        raise UserError(
            f"{source} is not to be trusted: it unpacks to {total / 2**30:.1f} GiB or more, as no archive of pictures "
            "does; if you know better, unpack it by hand and give the folder"
        )


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """The plain files of a folder in the order of their names; links to folders are not followed."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            inside = path.relative_to(folder).as_posix()
            if not _hidden(inside) and path.is_file():
                yield inside, path


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _copy_or_link(path: Path, target: Path, link: bool) -> None:
    if not link:
        shutil.copyfile(path, target)
        return
    try:
        os.link(path.resolve(), target)
    except OSError as error:
        raise UserError(
            f"{path}: cannot make a hard link in {target.parent} ({error.strerror}); leave out --link to copy"
        ) from error


def _written(data: IO[bytes], target: Path) -> Path:
    """Of two members of one name, as TAR archives that were added to have, the later one stays."""
    with target.open("wb") as file:
        shutil.copyfileobj(data, file, 2**20)
    return target


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    """Turns what broken archives and disks raise into one line."""
    try:
        if not source.exists():
            raise UserError(f"{source}: there is no such file or folder; check the path")
        yield
    except _BROKEN as error:
        raise UserError(f"{source} is damaged or cannot be unpacked ({error}); download it again") from error
    except RuntimeError as error:
        raise UserError(f"{source}: {error}; unpack it by hand and give the folder") from error
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{error.filename or source}: {reason}; check space, paths and permissions") from error
