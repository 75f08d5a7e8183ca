"""Where fused frames go: a video file, a folder of pictures, a pipe."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from cmmdl.files.images import write_image
from cmmdl.files.video.clip import Frame

DIGITS = 6
"""Of the numbers of frames in a folder."""

WAITING = 4
"""Pictures that wait to be written at once."""


class Sink(Protocol):
    """Takes frames in the order of their times."""

    name: str
    count: int

    def write(self, frame: Frame) -> None:
        """Takes one frame.

        Raises:
            UserError: If it cannot be written.
        """
        ...

    def finish(self, *, complete: bool = True) -> None:
        """Makes what was written ready to play."""
        ...

    def abandon(self) -> str:
        """After an error: keeps what was written, and says where; empty if there is nothing."""
        ...


class FolderWriter:
    """Writes frames as numbered pictures, from 000000 on.

    Args:
        folder: There already.
        suffix: Of the pictures, with its dot.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.name, self.folder, self.suffix, self.count = str(folder), folder, suffix, 0
        self.pool = ThreadPoolExecutor(2)
        self.waiting: list[Future[None]] = []

    def write(self, frame: Frame) -> None:
        """Writes one picture, in another thread; errors of earlier ones come up here."""
        self.waiting.append(self.pool.submit(write_image, self.path(self.count), frame.pixels))
        self.count += 1
        while len(self.waiting) > WAITING:
            self.waiting.pop(0).result()

    def finish(self, *, complete: bool = True) -> None:
        """Waits for the last pictures."""
        try:
            while self.waiting:
                self.waiting.pop(0).result()
        finally:
            self.pool.shutdown(cancel_futures=True)

    def abandon(self) -> str:
        """The pictures that are whole stay."""
        self.pool.shutdown(cancel_futures=True)
        whole = sum(self.path(number).exists() for number in range(self.count))
        return f"{whole} frames are in {self.folder}" if whole else ""

    def path(self, number: int) -> Path:
        """Where a frame goes."""
        return self.folder / f"{number:0{DIGITS}}{self.suffix}"
