"""What is refused before a request is looked at: foreign hosts and origins."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
"""Sent with every answer: the page may ask no other host for anything."""


class HostGuard:
    """Answers only requests that name this server as their ``Host``, and as their ``Origin`` if they have one.

    Any page on the web can make a browser post to a port of the loopback; the browser then names that page as the
    origin. A name that its owner points at this computer is caught by the host.

    Args:
        app: The application behind it.
        hosts: Host names that are answered, without the port.
    """

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it with status 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self.known(host):
            await refuse(send, 403, f"the host {host!r} is not this server; start it with --allow-host to answer it")
        elif b"origin" in headers and urlsplit(headers[b"origin"]).netloc != host:
            await refuse(send, 403, "requests of other sites' pages are refused")
        else:
            await self.app(scope, receive, _with_headers(send))

    def known(self, host: str) -> bool:
        """Whether the ``Host`` header names this server."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name.lower() in self.hosts


async def refuse(send: Send, status: int, reason: str, retry_after: int | None = None) -> None:
    """Answers with a status and a line of JSON, and closes the connection."""
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close"), *HEADERS.items()]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {key for key, _ in message.get("headers", [])}
            extra = [(key, value) for key, value in HEADERS.items() if key not in given]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending
