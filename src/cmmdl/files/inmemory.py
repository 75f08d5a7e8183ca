"""Encoded pictures that never were files: uploads, and what a pipe brings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmmdl.errors import UserError


@contextmanager
def as_file(data: bytes, name: str) -> Iterator[Path]:
    """A path under which the readers find ``data``, gone when the block ends.

    On Linux it is a file in memory only; elsewhere a temporary file. Errors raised inside call it ``name``.

    Args:
        data: The encoded picture.
        name: What messages call it.

    Raises:
        UserError: Whatever the block raises, with ``name`` in place of the path.
    """
    with _memory_file(data) if hasattr(os, "memfd_create") else _temporary_file(data) as path:
        try:
            yield path
        except UserError as error:
            raise type(error)(str(error).replace(str(path), name)) from error


@contextmanager
def _memory_file(data: bytes) -> Iterator[Path]:
    descriptor = os.memfd_create("cmmdl")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@contextmanager
def _temporary_file(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cmmdl-") as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)
        yield path
