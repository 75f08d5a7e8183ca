"""The socket, and HTTP whose requests' heads have to arrive in time: uvicorn waits for them without limit."""

from __future__ import annotations

import asyncio
from socket import socket

from fastapi import FastAPI
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from cmmdl.serve.settings import Settings

HEAD_SECONDS = 10.0
"""From a new connection, or from an answer, to the end of the next request's head."""


def listen(app: FastAPI, settings: Settings) -> tuple[Server, socket]:
    """A server and its socket, on which clients wait until ``server.run([socket])`` answers them."""
    config = Config(
        app, settings.host, settings.port, http=ImpatientProtocol, ws="none", log_level="warning", server_header=False
    )
    opened = config.bind_socket()
    opened.listen(config.backlog)
    return Server(config), opened


class ImpatientProtocol(H11Protocol):
    """Closes a connection that sends no whole head within `HEAD_SECONDS`, however steadily it trickles."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock."""
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        """Starts it again, for a connection that is kept."""
        self._await_head()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops it."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up, self.cycle)

    def _give_up(self, answered: object) -> None:
        if self.cycle is answered:
            self.transport.close()
