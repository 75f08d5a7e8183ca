"""The page that fuses in the browser, under ``/local``: files of a folder, with the headers that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

from cmmdl.errors import UserError

HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
}
"""The first two let WebAssembly use threads; the policy lets it run, and the page ask no other host for anything."""

MEDIA_TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
"""Given here, since some systems' tables lack them and browsers insist."""


class LocalPage(StaticFiles):
    """The files that ``make web`` builds.

    Args:
        folder: Where they lie.

    Raises:
        UserError: If they do not lie there.
    """

    def __init__(self, folder: Path) -> None:
        if not ((folder / "index.html").is_file() and (folder / "worker.js").is_file()):
            raise UserError(f"{folder} does not hold the page; build it with `make web`, which writes web/dist")
        super().__init__(directory=folder, html=True)

    async def get_response(self, path: str, scope: Any) -> Response:
        """A file with its headers."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        if media_type := MEDIA_TYPES.get(Path(path).suffix):
            response.headers["content-type"] = media_type
        return response
