"""Stopping cleanly when asked to."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """Turns SIGINT and SIGTERM into a note to stop after the present step; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def restore(self) -> None:
        """Put the former handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def ignore_interrupts(_: int) -> None:
    """In a process that prepares crops: Ctrl-C is the main process's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
