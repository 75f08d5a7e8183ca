"""Threads that share jobs, each computing its own alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

import torch

Job = TypeVar("Job")
Done = TypeVar("Done")

checking: ContextVar[Callable[[], None]] = ContextVar("checking", default=lambda: None)
"""Called before each job; what it raises ends the work, for example when that takes too long."""

_crew: tuple[int, ThreadPoolExecutor] | None = None
"""The threads that are there, and how many."""

_hiring = threading.Lock()


def share(work: Callable[[Job], Done], jobs: Sequence[Job]) -> list[Done]:
    """``[work(job) for job in jobs]``, by as many threads as torch has, with one torch thread each.

    A thread takes the next job from the queue when it has done its last. The work is done in the caller's modes:
    inference mode or none, with or without autocast.

    Args:
        work: Must not call `share`.
        jobs: Independent of each other.
    """
    check = checking.get()

    def checked(job: Job) -> Done:
        check()
        return work(job)

    threads = torch.get_num_threads()
    if threads == 1 or len(jobs) == 1:
        return [checked(job) for job in jobs]
    inference = torch.is_inference_mode_enabled()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def in_our_modes(job: Job) -> Done:
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", dtype, enabled=autocast):
            return checked(job)

    return list(crew(threads).map(in_our_modes, jobs))


def crew(threads: int) -> ThreadPoolExecutor:
    """So many threads, which stay for the next stage; they end with the process, or when another number is wanted."""
    global _crew
    with _hiring:
        if _crew is None or _crew[0] != threads:
            _crew = threads, hired(threads)
        return _crew[1]


def hired(threads: int) -> ThreadPoolExecutor:
    """New threads, each with one torch thread; the caller keeps its own number."""
    ready = threading.Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # at the first use in a thread torch takes the last number set anywhere
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, "cmmdl", initializer=start)
    for _ in range(threads):
        pool.submit(int)  # a pool starts a thread with each job that finds none idle
    ready.wait()
    torch.set_num_threads(threads)  # for threads to come the last number set counts
    return pool


def _after_fork() -> None:
    """In a forked child: the crew did not come along, nor did the threads that torch's own loops would wait for."""
    global _crew, _hiring
    _crew, _hiring = None, threading.Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
