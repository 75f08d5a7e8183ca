"""Fused calls give what the plain operators give, and the plain ones take their place where they are missing."""

import pytest
import torch
import torch.nn.functional as F

from cmmdl.models import onednn


@pytest.fixture
def without_fused_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "available", lambda: False)


def channels_last(*size: int) -> torch.Tensor:
    return (2 * torch.randn(size)).contiguous(memory_format=torch.channels_last)


def everything() -> list[torch.Tensor]:
    torch.manual_seed(0)
    a, b, wide = channels_last(1, 24, 7, 11), channels_last(1, 24, 7, 11), channels_last(1, 12, 5, 9)
    kernel_a, kernel_b, point = torch.randn(24, 1, 3, 3), torch.randn(24, 1, 3, 3), torch.randn(40, 12, 1, 1)
    with torch.inference_mode():
        return [
            onednn.gated(a, kernel_a, b, kernel_b),
            onednn.relu6_depthwise(a, kernel_a),
            onednn.relu6_pointwise(wide, point),
            F.gelu(F.conv2d(a, kernel_a, padding=(0, 1), groups=24)) * F.conv2d(b, kernel_b, padding=(0, 1), groups=24),
            F.conv2d(a, kernel_a, groups=24).clamp(0, 6),
            F.conv2d(wide, point).clamp(0, 6),
        ]


def agree(results: list[torch.Tensor]) -> None:
    for fused, plain in zip(results[:3], results[3:], strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
        assert fused.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not onednn.available(), reason="this build of PyTorch has no fused convolutions")
def test_fused_calls_give_what_the_plain_operators_give() -> None:
    agree(everything())


def test_plain_operators_where_there_are_no_fused_calls(without_fused_calls: None) -> None:
    agree(everything())


def test_other_types_take_the_plain_operators() -> None:
    a = channels_last(1, 8, 5, 6).double()
    kernel = torch.randn(8, 1, 3, 3).double()
    torch.testing.assert_close(onednn.relu6_depthwise(a, kernel), F.conv2d(a, kernel, groups=8).clamp(0, 6))


def test_a_build_without_the_calls_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> torch.Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_convolution_pointwise'")

    monkeypatch.setattr(onednn, "_gated", missing)
    assert not onednn.available.__wrapped__()


def test_calls_that_give_something_else_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_clamped", lambda x, kernel, groups: F.conv2d(x, kernel, groups=groups))
    assert not onednn.available.__wrapped__()
