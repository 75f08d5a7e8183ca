"""numpy arrays and torch tensors under one set of names; torch is imported only where a tensor is there already."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import numpy as numpy_names
from numpy.typing import NDArray

Pixels: TypeAlias = Any
"""A numpy array or a torch tensor, on any device."""


def namespace(pixels: Pixels) -> Any:
    """The functions for such an array, named as in the Python array API standard."""
    if not is_tensor(pixels):
        return numpy_names
    from array_api_compat import torch as torch_names

    return torch_names


def is_tensor(value: object) -> bool:
    """Whether something is a torch tensor."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)  # None: torch is not there, or another thread imports it
    return tensor is not None and isinstance(value, tensor)


def dtype_name(pixels: Pixels) -> str:
    """Its type in one word, such as ``uint8``."""
    return str(pixels.dtype).removeprefix("torch.") if is_tensor(pixels) else pixels.dtype.name


def is_float(pixels: Pixels) -> bool:
    """Whether it holds floats, ``bfloat16`` included."""
    return "float" in dtype_name(pixels)


def astype(pixels: Pixels, name: str) -> Pixels:
    """The same values in the type of that name; the array itself if it has that type.

    A numpy array whose channels lie side by side comes out plane by plane: arithmetic on that is several times as fast.
    """
    if not is_tensor(pixels):
        return pixels if pixels.dtype == name else pixels.astype(name, order="C")
    xp = namespace(pixels)
    return xp.astype(pixels, getattr(xp, name), copy=False)


def empty_like(pixels: Pixels, shape: tuple[int, ...], dtype: str) -> Pixels:
    """An array of another shape and type, not filled, of the same kind and on the same device."""
    xp = namespace(pixels)
    return xp.empty(shape, dtype=getattr(xp, dtype), device=pixels.device if is_tensor(pixels) else None)


def to_numpy(pixels: Pixels) -> NDArray[Any]:
    """As a numpy array, without copying if it lies in the computer's own memory."""
    return pixels.detach().cpu().numpy() if is_tensor(pixels) else pixels


def as_kind_of(pixels: Pixels, other: Pixels) -> Pixels:
    """As an array of the kind of ``other``, on its device, of the type it has."""
    if not is_tensor(other):
        return to_numpy(pixels)
    if is_tensor(pixels):
        return pixels.to(other.device)
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).to(other.device)
