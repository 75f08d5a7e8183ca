"""The runtimes that a network runs on: PyTorch, ONNX Runtime, OpenVINO, each behind one method."""

from cmmdl.backends.base import Backend

__all__ = ["Backend"]
