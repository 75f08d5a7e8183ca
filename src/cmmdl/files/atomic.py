"""Files that are there as a whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
from pathlib import Path

from cmmdl.errors import UnwritableError, UserError

_TEMPORARY = ".cmmdl-tmp"
_OWNER = re.compile(rf"\.(?P<host>[^.]+)-(?P<process>\d+)-[0-9a-f]+{re.escape(_TEMPORARY)}$")


def write_bytes(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Writes a file under a temporary name in its folder, then renames it: all of it is there or nothing.

    Args:
        path: Where to.
        data: Its content.
        replace: Whether a file that is there already is replaced. Otherwise one of the same content is as good.

    Raises:
        UnwritableError: If the folder is missing, permission is lacking or the disk is full.
        UserError: If another file is there and is not to be replaced.
    """
    temporary = _temporary_name(path)
    try:
        try:
            _create(temporary, data)
            temporary.replace(path) if replace else _rename_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError as error:
        if path.is_dir() or path.read_bytes() != data:
            raise UserError(another(path)) from error
    except OSError as error:
        raise UnwritableError(f"{path}: {write_remedy(error, path)}") from error


def another(place: Path | str) -> str:
    """What is wrong where a result has come from elsewhere during a run."""
    return (
        f"{place} has come from another run, and differs: it is kept; give each run a place of its own, or --overwrite"
    )


def remove_stale(folder: Path) -> None:
    """Removes the temporary files that killed runs on this computer left in a folder."""
    for file in folder.glob(f".*{_TEMPORARY}"):
        owner = _OWNER.search(file.name)
        if owner and owner["host"] == _host() and not _alive(int(owner["process"])):
            file.unlink(missing_ok=True)


def _temporary_name(path: Path) -> Path:
    """A name beside a file that no other write has, in whatever thread or process; it says whose it is."""
    return path.with_name(f".{path.name[:20]}.{_host()}-{os.getpid()}-{secrets.token_hex(8)}{_TEMPORARY}")


def _rename_new(temporary: Path, path: Path) -> None:
    """Gives a file its name unless another has it: of two runs only one can be the first.

    Raises:
        FileExistsError: If another has it.
    """
    if os.name == "nt":
        temporary.rename(path)  # which replaces nothing there
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(str(path)) from None
        temporary.replace(path)


def _create(path: Path, data: bytes) -> None:
    """Writes a file that must not be there yet."""
    with path.open("xb") as file:
        file.write(data)


def write_remedy(error: OSError, path: Path) -> str:
    """What to do about a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the disk is full; free some space or choose another place, then run it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write in {path.parent}; change its permissions or choose another folder"
    if path.is_dir() or error.errno in (errno.EISDIR, errno.ENOTDIR):
        return "is a folder, or lies below a file; give another file name"
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return f"there is no folder {path.parent}; create it first"
    return f"could not be written ({error.strerror}); choose another place"


def _host() -> str:
    return socket.gethostname().replace(".", "_") or "localhost"


def _alive(process: int) -> bool:
    """Whether a process of this computer still runs; where that cannot be asked safely, yes."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
