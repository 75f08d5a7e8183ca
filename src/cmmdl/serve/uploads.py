"""Reading a form with files into memory, nothing of it on a disk."""

from __future__ import annotations

from typing import Any

from python_multipart.exceptions import FormParserError
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
    """Keeps files in memory, and knows whether the form came to its end."""

    spool_max_size = max_file_size = 2**40
    complete = False

    def on_end(self) -> None:
        """The closing boundary was read."""
        self.complete = True


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
        parser = _InMemory(request.headers, request.stream(), max_files=4, max_fields=40)
        form = await parser.parse()
    except (MultiPartException, FormParserError, LookupError, UnicodeError) as error:
        raise FormError(422, f"the form is broken: {error}") from error
    if not parser.complete:
        raise FormError(422, "the form is broken: it ends in the middle")
    files, fields = {}, {}
    for name, value in form.multi_items():
        if name in files or name in fields:
            raise FormError(422, f"the form has two fields {name}")
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
