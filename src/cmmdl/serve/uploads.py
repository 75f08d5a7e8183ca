"""Reading a form with files into memory, nothing of it on a disk."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cmmdl.serve.fusing import Upload


class FormError(Exception):
    """A request that is no form of the kind that is wanted.

    Attributes:
        status: 413, 415 or 422.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _InMemory(MultiPartParser):
    spool_max_size = 2**40


async def read_form(request: Request, max_file_bytes: int) -> tuple[dict[str, Upload], dict[str, Any]]:
    """The files and the other fields of a ``multipart/form-data`` request.

    Args:
        request: Not read yet.
        max_file_bytes: Largest file.

    Raises:
        FormError: If it is no such form, is broken, or has a file that is too large or empty.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise FormError(415, "send multipart/form-data with the files ir and vis")
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=4, max_fields=40).parse()
    except MultiPartException as error:
        raise FormError(422, f"the form is broken: {error.message}") from error
    files, fields = {}, {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files[name] = Upload(value.filename or name, await value.read())
            _check(files[name], max_file_bytes)
        else:
            fields[name] = value
    await form.close()
    return files, fields


def _check(upload: Upload, limit: int) -> None:
    if len(upload.data) > limit:
        raise FormError(413, f"{upload.name}: {len(upload.data) / 2**20:.1f} MiB, above {limit / 2**20:.0f} MiB")
    if not upload.data:
        raise FormError(422, f"{upload.name} is empty")
