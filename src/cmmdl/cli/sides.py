"""The two sides that a command is given: both files, or both folders."""

from __future__ import annotations

from pathlib import Path

from cmmdl.errors import UsageError, UserError


def check_sides(ir: Path, vis: Path) -> None:
    """Refuses sides that are not there, and a folder beside a file.

    Raises:
        UserError: If one does not exist.
        UsageError: If one is a folder and the other a file.
    """
    for path in (ir, vis):
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder; check the path")
    if ir.is_dir() != vis.is_dir():
        folder, file = (ir, vis) if ir.is_dir() else (vis, ir)
        raise UsageError(f"{folder} is a folder and {file} a file; give two files or two folders")
