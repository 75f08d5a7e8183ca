"""One fusion at a time, a short queue before it, and a time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import TypeVar

Result = TypeVar("Result")

_deadline = local()


class BusyError(Exception):
    """The queue is full.

    Attributes:
        retry_after: Seconds after which it is worth trying again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the server is busy; try again in {retry_after} s")
        self.retry_after = retry_after


class OutOfTimeError(Exception):
    """A fusion took longer than it may."""


class Jobs:
    """Runs functions one after the other in a thread; a few may wait.

    Args:
        queue: How many may wait.
        seconds: How long one may run; 0 means no limit. Kept by `time_check`, whose result a job calls now and then.
    """

    def __init__(self, queue: int, seconds: float) -> None:
        self.queue, self.seconds = queue, seconds
        self.inside = 0
        self.usual = 1.0
        self._worker = ThreadPoolExecutor(1, "fuse")

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return max(0, self.inside - 1)

    def check(self) -> None:
        """Refuses one more job where the queue is full.

        Raises:
            BusyError: If as many jobs wait as may.
        """
        if self.inside > self.queue:
            raise BusyError(max(1, round(self.usual * self.inside)))

    async def run(self, job: Callable[[], Result]) -> Result:
        """The result of a job, when its turn has come.

        Raises:
            BusyError: If as many jobs wait as may.
            OutOfTimeError: If it ran too long.
        """
        self.check()
        self.inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._timed, job)
        finally:
            self.inside -= 1

    def _timed(self, job: Callable[[], Result]) -> Result:
        start = time.monotonic()
        _deadline.value = start + self.seconds if self.seconds else None
        try:
            return job()
        finally:
            _deadline.value = None
            self.usual += 0.2 * (time.monotonic() - start - self.usual)

    def close(self) -> None:
        """Lets the running job end; those that wait are dropped."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def time_check() -> Callable[[], None]:
    """Inside a job: what raises `OutOfTimeError` once the job's time is over, called in whatever thread."""
    deadline = getattr(_deadline, "value", None)

    def check() -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise OutOfTimeError

    return check
