"""Forked processes and threads: each computes what its parent did, in memory of its own."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading

import pytest
import torch

from cmmdl.models import allocator

FORKED = """
import multiprocessing, sys
import torch
from cmmdl.models import allocator
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig

torch.set_num_threads(2)
allocator.reuse_memory()
allocator._SMALLEST, allocator._GRAIN = 2**14, 2**12  # so that the maps of small pictures lie in kept places
torch.manual_seed(0)
model = CMMDL(CMMDLConfig(width=8, blocks=1, heads=2)).eval()
pairs = torch.rand(4, 2, 1, 1, 100, 130)


def fuse(pair):
    with torch.no_grad():
        return model(*pair)


def child(number, ready, queue):
    ready.wait()  # all compute at the same time
    results = [fuse(pairs[number]) for _ in range(3)]
    queue.put((number, all(torch.equal(result, expected[number]) for result in results), torch.get_num_threads()))


expected = [fuse(pair) for pair in pairs]
assert 1 <= len(allocator._kept) < 20  # used again and again
context = multiprocessing.get_context("fork")
queue, ready = context.SimpleQueue(), context.Barrier(4)
children = [context.Process(target=child, args=(number, ready, queue)) for number in range(4)]
for process in children:
    process.start()
found = sorted(queue.get() for _ in children)
for process in children:
    process.join()
assert found == [(number, True, 1) for number in range(4)], found
assert torch.get_num_threads() == 2
assert torch.equal(fuse(pairs[0]), expected[0])
print("equal")
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_children_compute_what_their_parent_does() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=240)
    assert done.stdout == "equal\n", done.stderr


def test_places_are_used_again_but_not_while_a_map_lies_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_kept", [])
    size = (1, 16, 512, 513)
    first = allocator.room(size, torch.float32, torch.channels_last)
    assert first.is_contiguous(memory_format=torch.channels_last)
    view = first[:, :, 3:5]
    place = first.data_ptr()
    del first
    second = allocator.room(size, torch.float32, torch.contiguous_format)
    assert second.is_contiguous()
    assert second.data_ptr() != place
    del view, second
    assert len(allocator._kept) == 2
    third = allocator.room((2, 16, 512, 257), torch.float32, torch.contiguous_format)
    assert len(allocator._kept) == 1
    del third
    larger = allocator.room((1, 64, 512, 512), torch.float32, torch.contiguous_format)
    assert larger.shape == (1, 64, 512, 512)
    assert not allocator._kept


def test_threads_never_share_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_kept", [])
    size, wrong = (1, 8, 512, 513), []

    def write(number: int) -> None:
        for turn in range(40):
            place = allocator.room(size, torch.float32, torch.contiguous_format)
            place[..., ::64, :] = number * 100 + turn
            if not (place[..., ::64, :] == number * 100 + turn).all():
                wrong.append((number, turn))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 1 <= len(allocator._kept) <= 12  # each thread holds its last place while it takes the next
