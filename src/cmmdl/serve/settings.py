"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmmdl.errors import UsageError
from cmmdl.serve.bodies import BodyLimits

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names under which a browser on the same computer reaches the server."""


@dataclass(frozen=True)
class Settings:
    """Limits and defaults of a server.

    Attributes:
        models: Names or files of the models that requests may choose from; the first is the default.
        host: Address it listens on.
        port: Port it listens on.
        allowed_hosts: Further names that the ``Host`` header may have, for a server behind another name.
        max_file_bytes: Largest uploaded file.
        max_pixels: Largest picture, height times width.
        queue: Fusions that may wait; more are refused with status 503.
        seconds: Longest time a fusion may take, checked before each tile or band; 0 means no limit.
        upload_seconds: Longest time a request may take to arrive.
        threads: CPU threads; None is all cores.
        device: As in `cmmdl.Fuser`.
        local: Folder of the page that fuses in the browser, served under ``/local``; None serves none.

    Raises:
        UsageError: If a limit makes no sense.
    """

    models: tuple[str, ...] = ("cmmdl-rt",)
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    max_file_bytes: int = 32 * 2**20
    max_pixels: int = 40_000_000
    queue: int = 8
    seconds: float = 120.0
    upload_seconds: float = 60.0
    threads: int | None = None
    device: str = "auto"
    local: Path | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise UsageError("a server needs at least one model")
        for name in ("max_file_bytes", "max_pixels", "queue"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seconds < 0:
            raise UsageError(f"seconds must be at least 0, not {self.seconds:g}")

    @property
    def body_limits(self) -> BodyLimits:
        """Of one request two files, and 64 KiB for the form around them; at one time as many as may run and wait."""
        one = 2 * self.max_file_bytes + 2**16
        return BodyLimits(one, (self.queue + 1) * one, self.upload_seconds)

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the ``Host`` header that are answered, without the port."""
        return frozenset({*LOOPBACK, self.host, *self.allowed_hosts})
