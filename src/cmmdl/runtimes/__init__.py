"""The runtimes that a network runs on: PyTorch, ONNX Runtime, OpenVINO, each behind one method; devices, export."""

from cmmdl.runtimes.base import Backend

__all__ = ["Backend"]
