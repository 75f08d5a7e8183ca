"""Parts that work at the same time: iterators in threads of their own, and a function on several cores, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WAITING = 3
"""Items that wait between two parts."""

_TICK = 0.1


class _End:
    """Follows the last item; ``error`` is what ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], waiting: int = WAITING) -> Generator[T, None, None]:
    """The same items, made in a thread of their own, a few of them ahead of their use.

    An error comes up where its item would have. Closing the iterator ends the thread after the item it is at.

    Args:
        items: Closed at the end if they can be.
        waiting: How many are made ahead; so many are in memory.
    """
    queue: Queue[Any] = Queue(waiting)
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, queue, stop), daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join(timeout=10)


def _fill(items: Iterable[T], queue: Queue[Any], stop: threading.Event) -> None:
    """Puts items into the queue until they end or nobody wants them."""
    source = iter(items)
    end = _End()
    try:
        for item in source:
            if not _put(queue, item, stop):
                break
    except BaseException as error:  # it is raised again where the items are used
        end = _End(error)
    finally:
        if (close := getattr(source, "close", None)) is not None:
            close()
    _put(queue, end, stop)


def _put(queue: Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Puts one item as soon as there is room; False if nobody wants it any more."""
    while not stop.is_set():
        try:
            queue.put(item, timeout=_TICK)
        except Full:
            continue
        return True
    return False


def in_order(function: Callable[[Any, T], R], items: Iterable[T], workers: list[Any], extra: int = 1) -> Iterator[R]:
    """A function on each item, on several threads; results come in the order of the items.

    Args:
        function: Called with one of the workers, which no other call has then, and an item.
        items: Fetched as they are needed.
        workers: One a thread.
        extra: Results that may wait beside those at work.
    """
    free: Queue[Any] = Queue()
    for worker in workers:
        free.put(worker)
    at_work = deque[Future[R]]()
    pool = ThreadPoolExecutor(len(workers))
    try:
        for item in items:
            at_work.append(pool.submit(_with_worker, function, free, item))
            while len(at_work) >= len(workers) + extra:
                yield at_work.popleft().result()
        while at_work:
            yield at_work.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if (close := getattr(items, "close", None)) is not None:
            close()


def _with_worker(function: Callable[[Any, T], R], free: Queue[Any], item: T) -> R:
    worker = free.get()
    try:
        return function(worker, item)
    finally:
        free.put(worker)


class Newest(Generic[T]):
    """The newest of a live source, with a short memory; what is not fetched in time is dropped and counted.

    Args:
        items: Read in a thread of their own.
        memory: How many are remembered.
    """

    def __init__(self, items: Iterable[T], memory: int = 1) -> None:
        self.remembered = deque[T](maxlen=memory)
        self.made = self.fetched = self.number = 0
        self.ended = False
        self.error: BaseException | None = None
        self.changed, self.stop = threading.Condition(), threading.Event()
        threading.Thread(target=self._read, args=(items,), daemon=True).start()

    @property
    def dropped(self) -> int:
        """How many were never fetched."""
        return self.made - self.fetched

    def next(self) -> T | None:
        """The newest one that was not fetched yet, as soon as there is one; None at the end.

        Raises:
            BaseException: What ended the source.
        """
        with self.changed:
            while self.made == self.number and not self.ended:
                self.changed.wait(_TICK)  # with a limit, so that Ctrl-C comes through
            if self.made == self.number:
                if self.error is not None:
                    raise self.error
                return None
            self.number, self.fetched = self.made, self.fetched + 1
            return self.remembered[-1]

    def nearest(self, distance: Callable[[T], float]) -> T | None:
        """Of those that are remembered the one at the smallest distance; the first one is waited for."""
        with self.changed:
            while not self.remembered and not self.ended:
                self.changed.wait(_TICK)
            return min(self.remembered, key=distance, default=None)

    def close(self) -> None:
        """Ends the thread after the item it is at."""
        self.stop.set()

    def _read(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                with self.changed:
                    self.remembered.append(item)
                    self.made += 1
                    self.changed.notify_all()
                if self.stop.is_set():
                    break
        except BaseException as error:  # it is raised again where the items are used
            self.error = error
        with self.changed:
            self.ended = True
            self.changed.notify_all()
