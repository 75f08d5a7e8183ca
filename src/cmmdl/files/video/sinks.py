"""Where fused frames go: a video file, a folder of pictures, a pipe."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from cmmdl.files.images import IMAGE_SUFFIXES, Note, write_image
from cmmdl.files.notes import ResultNote
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
        replace: Whether the frames of an earlier run are replaced: what the new run does not overwrite is removed when
            it is finished.
        note: Called with a line about what was removed.
    """

    def __init__(self, folder: Path, suffix: str, *, replace: bool = False, note: Note = lambda text: None) -> None:
        self.name, self.folder, self.suffix, self.count = str(folder), folder, suffix, 0
        self.replace, self.note = replace, note
        self.pool = ThreadPoolExecutor(2)
        self.waiting: list[Future[None]] = []

    def write(self, frame: Frame) -> None:
        """Writes one picture, in another thread; errors of earlier ones come up here."""
        self.waiting.append(self.pool.submit(write_image, self.path(self.count), frame.pixels))
        self.count += 1
        while len(self.waiting) > WAITING:
            self.waiting.pop(0).result()

    def finish(self, *, complete: bool = True) -> None:
        """Waits for the last pictures, then removes those of an earlier run."""
        try:
            while self.waiting:
                self.waiting.pop(0).result()
        finally:
            self.pool.shutdown(cancel_futures=True)
        earlier = self._earlier() if self.count else []
        for path in earlier:
            path.unlink(missing_ok=True)
        if earlier:
            self.note(ResultNote(f"{self.folder}: frames of an earlier run were removed: {len(earlier)}"))

    def abandon(self) -> str:
        """The pictures that are whole stay."""
        self.pool.shutdown(cancel_futures=True)
        earlier = f"; those of an earlier run are there as well: {len(self._earlier())}" if self._earlier() else ""
        whole = sum(self.path(number).exists() for number in range(self.count))
        return f"{whole} frames are in {self.folder}{earlier}" if whole else ""

    def _earlier(self) -> list[Path]:
        """Numbered pictures that are not of this run."""
        if not self.replace:
            return []
        own = {self.path(number).name for number in range(self.count)}
        return [path for path in sorted(self.folder.iterdir()) if _is_frame(path) and path.name not in own]

    def path(self, number: int) -> Path:
        """Where a frame goes."""
        return self.folder / f"{number:0{DIGITS}}{self.suffix}"


def _is_frame(path: Path) -> bool:
    """Whether a file has the name of a numbered picture."""
    stem = path.stem
    numbered = len(stem) == DIGITS and stem.isascii() and stem.isdigit()
    return numbered and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
