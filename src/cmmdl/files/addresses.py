"""Files by address, on any file system that fsspec knows: ``s3://bucket/ir/a.png``, or a plain path.

Whatever goes wrong there is one line that names the address. Needs the extra ``ray`` for addresses, not for paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cmmdl.errors import UnreadableError, UnwritableError, UsageError, UserError
from cmmdl.files.atomic import another, write_bytes
from cmmdl.files.listing import Found, composed, list_pictures, picture_of

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_WHOLE_AT_ONCE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory")
"""File systems on which a file that is put is there as a whole or not at all; on others it is renamed into place."""

_PATIENCE = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}}
"""By default a client of S3 tries for minutes to reach a host that does not answer."""


def is_remote(address: str | Path) -> bool:
    """Whether it has a scheme other than ``file``."""
    return _scheme(str(address)) not in ("", "file", "local")


def as_path(address: str) -> Path:
    """The path that an address on this computer means."""
    return Path(re.sub(r"^(file|local)://", "", address, flags=re.IGNORECASE))


def join(folder: str, name: str) -> str:
    """The address of a file below a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(as_path(folder) / name)


def same_place(one: str, other: str) -> bool:
    """Whether two addresses mean one folder."""
    return _place(one) == _place(other)


def lies_below(one: str, other: str) -> bool:
    """Whether an address lies below another, or is the same."""
    return f"{_place(one)}/".startswith(f"{_place(other)}/")


def list_folder(address: str, *, recursive: bool = False) -> list[Found]:
    """The pictures of a folder as `cmmdl.files.listing.list_pictures` has them.

    Args:
        address: The folder.
        recursive: Look into the folders below as well.

    Returns:
        Of a path the same; of another address files whose ``path`` is their name below the folder.

    Raises:
        UserError: If it cannot be listed.
    """
    if not is_remote(address):
        return list_pictures(as_path(address), recursive=recursive)
    names = [name for name in list_names(address) if recursive or "/" not in name]
    found = (picture_of(*_parted(name), Path(name)) for name in sorted(names))
    return [one for one in found if one is not None and not _is_hidden(one.where)]


def list_names(address: str, *, missing: bool = False) -> list[str]:
    """The names of all files below a folder, with those of the folders between.

    Args:
        address: The folder, with a scheme.
        missing: Whether a folder that is not there is an empty one. An object store has no empty folders.

    Raises:
        UserError: If it cannot be listed.
    """
    system, root = file_system(address)
    root = root.rstrip("/")
    try:
        system.invalidate_cache()
        found = system.find(root)
    except Exception as error:  # whatever its back end raises
        if missing and isinstance(error, FileNotFoundError) and not _bucket_is_missing(error):
            return []
        raise UserError(f"{address} cannot be listed ({_reason(error)}); check the address and its rights") from error
    if not found and not missing:
        raise UserError(f"{address} holds no file; check the address")
    return [name[len(root) + 1 :] for name in found if name.startswith(f"{root}/")]


def read_bytes(address: str) -> bytes:
    """The content of a file.

    Raises:
        UnreadableError: If there is none, or it may not be read.
    """
    system, path = file_system(address)
    try:
        return bytes(system.cat_file(path))
    except FileNotFoundError as error:
        raise UnreadableError(f"{address}: there is no such file; check the address") from error
    except Exception as error:
        raise UnreadableError(f"{address} cannot be read ({_reason(error)}); check its rights") from error


def store(address: str, data: bytes, *, replace: bool) -> None:
    """Writes a file that is there as a whole or not at all.

    Args:
        address: Where to.
        data: Its content.
        replace: Whether a file that is there already is replaced. Otherwise one of the same content is as good.

    Raises:
        UnwritableError: If it cannot be written.
        UserError: If another file is there and is not to be replaced.
    """
    if not is_remote(address):
        return write_bytes(as_path(address), data, replace=replace)
    system, path = file_system(address)
    try:
        if replace:
            _put(system, path, data)
        else:
            _create(system, path, data)
    except FileExistsError as error:
        if read_bytes(address) != data:
            raise UserError(another(address)) from error
    except Exception as error:
        raise UnwritableError(
            f"{address} cannot be written ({_reason(error)}); check the address and its rights"
        ) from error


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Raises:
        UserError: If the scheme is unknown or its package is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UserError(f"{address}: addresses need fsspec: pip install 'cmmdl[ray]'") from error
    scheme = _scheme(address)
    try:
        system, path = url_to_fs(address, **(_PATIENCE if scheme in ("s3", "s3a") else {}))
    except ImportError as error:
        what = "pip install 'cmmdl[ray]'" if scheme in ("s3", "s3a") else _reason(error)
        raise UserError(f"{address}: the package for {scheme}:// is not installed: {what}") from error
    except ValueError as error:
        raise UsageError(f"{address}: {_reason(error)}; give a path, or an address such as s3://bucket/ir") from error
    return system, str(path)


def _scheme(address: str) -> str:
    """In small letters; empty for a path."""
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def _place(address: str) -> str:
    """One spelling of an address."""
    if not is_remote(address):
        return os.path.realpath(as_path(address))
    system, path = file_system(address)
    return str(system.unstrip_protocol(path.rstrip("/")))


def _parted(name: str) -> tuple[str, str]:
    """The folders of a name, and its last part."""
    where, slash, file = name.rpartition("/")
    return composed(where + slash), file


def _is_hidden(where: str) -> bool:
    return any(part.startswith(".") for part in where.split("/"))


def _put(system: Any, path: str, data: bytes) -> None:
    if _first(system.protocol) in _WHOLE_AT_ONCE:
        system.pipe_file(path, data)
        return
    temporary = f"{path}.{os.getpid()}-{os.urandom(6).hex()}.cmmdl-tmp"
    system.makedirs(system._parent(path), exist_ok=True)
    try:
        system.pipe_file(temporary, data)
        system.mv(temporary, path)
    finally:
        if system.exists(temporary):
            system.rm_file(temporary)


def _create(system: Any, path: str, data: bytes) -> None:
    """Writes what must not be there yet; S3 looks itself, so that of two runs only one can be the first."""
    if _first(system.protocol) in ("s3", "s3a"):
        try:
            system.pipe_file(path, data, mode="create")
            return
        except NotImplementedError:  # a service without conditional writes
            pass
    system.invalidate_cache()
    if system.exists(path):
        raise FileExistsError(path)
    _put(system, path, data)


def _first(protocol: str | Iterable[str]) -> str:
    return protocol if isinstance(protocol, str) else next(iter(protocol))


def _bucket_is_missing(error: BaseException) -> bool:
    return "bucket" in str(error).lower()


def _reason(error: BaseException) -> str:
    """The error of a back end, whatever it is, in a few words."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else f"{words[:157]}..."
