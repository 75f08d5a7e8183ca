"""Which frames belong together: by their times."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl import UserError
from cmmdl.files.video.clip import Facts, Frame
from cmmdl.fusion.timing import Pairing

DOT = np.zeros((1, 1), np.uint8)


def frames(moments: list[float]) -> list[Frame]:
    return [Frame(Fraction(moment).limit_denominator(1000), DOT) for moment in moments]


def pairing(ir: list[float], vis: list[float], *, rates: tuple[int, int] = (10, 10), offset: float = 0.0) -> Pairing:
    facts = [
        Facts(name, 1, 1, rate=Fraction(rate), begins=Fraction(first).limit_denominator(1000))
        for name, rate, first in (("ir.mp4", rates[0], ir[0]), ("vis.mp4", rates[1], vis[0]))
    ]
    return Pairing(frames(ir), frames(vis), (facts[0], facts[1]), offset)


def paired(*arguments: list[float], **options: object) -> list[tuple[float, float]]:
    return [(float(pair.ir.time), float(pair.vis.time)) for pair in pairing(*arguments, **options)]  # type: ignore[arg-type]


def test_equal_rates_pair_one_to_one() -> None:
    assert paired([0, 0.1, 0.2], [0, 0.1, 0.2]) == [(0, 0), (0.1, 0.1), (0.2, 0.2)]


def test_a_slower_infrared_clip_is_repeated_by_nearness() -> None:
    found = paired([0, 0.3], [0, 0.1, 0.2, 0.3, 0.4], rates=(3, 10))
    assert found == [(0, 0), (0, 0.1), (0.3, 0.2), (0.3, 0.3), (0.3, 0.4)]


def test_a_faster_infrared_clip_is_thinned_out() -> None:
    assert paired([0, 0.05, 0.1, 0.15, 0.2], [0, 0.1, 0.2], rates=(20, 10)) == [(0, 0), (0.1, 0.1), (0.2, 0.2)]


def test_variable_rate() -> None:
    assert paired([0, 0.12, 0.2, 0.41], [0, 0.11, 0.22, 0.4]) == [(0, 0), (0.12, 0.11), (0.2, 0.22), (0.41, 0.4)]


def test_offset_moves_the_infrared_clip() -> None:
    assert paired([0, 0.1], [0, 0.1, 0.2, 0.3], offset=0.2) == [(0, 0.2), (0.1, 0.3)]
    assert paired([0, 0.1, 0.2, 0.3], [0, 0.1], offset=-0.2) == [(0.2, 0), (0.3, 0.1)]


def test_only_the_overlap_is_used_and_told() -> None:
    found = pairing([0.2, 0.3], [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [float(pair.vis.time) for pair in found] == [0.2, 0.3]
    assert not found.whole
    said: list[str] = []
    found.tell(said.append)
    assert said == ["fused 0.20 to 0.30 s of the visible clip, where both run"]


def told(found: Pairing) -> list[str]:
    said: list[str] = []
    found.tell(said.append)
    return said


def test_infrared_that_is_left_out_is_told_too() -> None:
    found = pairing([k / 10 for k in range(10)], [0.3, 0.4, 0.5])
    assert len(list(found)) == 3
    assert told(found) == [
        "fused 0.30 to 0.50 s of the visible clip and 0.30 to 0.50 s of the infrared one, where both run"
    ]
    found = pairing([k / 10 for k in range(10)], [0, 0.1])
    list(found)
    assert told(found) == [
        "fused 0.00 to 0.10 s of the visible clip and 0.00 to 0.10 s of the infrared one, where both run"
    ]


@pytest.mark.parametrize("rates", [(10, 10), (10, 25), (25, 10), (30, 25), (9, 30), (25, 5)])
def test_nothing_is_told_of_clips_that_are_equally_long(rates: tuple[int, int]) -> None:
    found = pairing(*([k / rate for k in range(2 * rate)] for rate in rates), rates=rates)
    assert len(list(found)) == 2 * rates[1]
    assert told(found) == []


def test_why_it_ended_is_told() -> None:
    found = pairing([0.1, 0.2, 0.3], [0, 0.1, 0.2, 0.3])
    next(iter(found))
    found.interrupt("--duration ended it", Fraction(1, 10))
    assert told(found) == [
        "fused 0.10 to 0.10 s of the visible clip: the infrared one begins there, and --duration ended it"
    ]


def test_a_hole_is_filled_and_told() -> None:
    found = pairing([0, 0.1, 0.9, 1.0], [k / 10 for k in range(11)])
    assert len(list(found)) == 11
    assert (found.far, found.whole) == (5, True)
    said: list[str] = []
    found.tell(said.append)
    assert "5 of 11 frames have no infrared frame near in time (up to 0.40 s away)" in said[0]


def test_times_that_do_not_overlap() -> None:
    with pytest.raises(UserError, match=r"do not overlap in time.*from 5\.00.*0\.00 to 0\.20.*check --offset"):
        list(pairing([5, 5.1], [0, 0.1, 0.2]))
    with pytest.raises(UserError, match="do not overlap"):
        list(pairing([0, 0.1], [5, 5.1]))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(-500, 500))
def test_every_pair_is_the_nearest(ir_rate: int, vis_rate: int, offset_ms: int) -> None:
    ir, vis = ([k / rate for k in range(2 * rate)] for rate in (ir_rate, vis_rate))
    offset = Fraction(offset_ms, 1000)
    for pair in pairing(ir, vis, rates=(ir_rate, vis_rate), offset=offset_ms / 1000):
        gaps = [abs(Fraction(moment).limit_denominator(1000) + offset - pair.vis.time) for moment in ir]
        assert abs(pair.ir.time + offset - pair.vis.time) == min(gaps)
