"""How much of requests is read: so much of one, so much of all at once, and for so long."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from cmmdl.serve.guards import App, Receive, Scope, Send, refuse


class BodyError(Exception):
    """A body that is not read to its end.

    Attributes:
        status: 408, 413 or 503.
        retry_after: Seconds after which it is worth trying again, None where it is not.
    """

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class BodyLimits:
    """What requests may send.

    Attributes:
        one: Bytes of one body.
        all: Bytes of all bodies that are held at one time.
        seconds: How long one may take to arrive.
    """

    one: int
    all: int
    seconds: float


class BodyGuard:
    """Stops reading a request's body at a limit, whatever length it states.

    Args:
        app: The application behind it.
        limits: What requests may send.
    """

    def __init__(self, app: App, limits: BodyLimits) -> None:
        self.app, self.limits = app, limits
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers with 408, 413 or 503: too slow, too long, or too many at a time."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(self, receive)
        started = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            stated = dict(scope["headers"]).get(b"content-length", b"0")
            self.check(int(stated) if stated.isdigit() else 0)
            await self.app(scope, body.receive, watched)
        except BodyError as error:
            if not started:
                await refuse(send, error.status, str(error), error.retry_after)
        finally:
            self.held -= body.read

    def check(self, size: int) -> None:
        """Refuses a body of so many bytes.

        Raises:
            BodyError: If that is too much.
        """
        if size > self.limits.one:
            size_words = f"a request may have {self.limits.one / 2**20:.0f} MiB"
            raise BodyError(413, f"{size_words}; scale the pictures down, or start the server with --max-file")
        if self.held > self.limits.all:
            raise BodyError(503, "the server is busy with other uploads; try again in 1 s", retry_after=1)


class _Body:
    """One body while it is read."""

    def __init__(self, guard: BodyGuard, source: Receive) -> None:
        self.guard, self.source, self.read = guard, source, 0
        self.complete = False
        self.deadline = asyncio.get_running_loop().time() + guard.limits.seconds

    async def receive(self) -> MutableMapping[str, Any]:
        """The next message, which is waited for without limit once the body is complete."""
        try:
            async with asyncio.timeout_at(None if self.complete else self.deadline):
                message = await self.source()
        except TimeoutError as error:
            raise BodyError(408, f"the request did not arrive within {self.guard.limits.seconds:g} s") from error
        size = len(message.get("body", b""))
        self.read += size
        self.guard.held += size
        self.guard.check(self.read)
        self.complete = not message.get("more_body", False)
        return message
