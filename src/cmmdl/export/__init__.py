"""Networks as files for other runtimes: ONNX and OpenVINO, kept only if they agree with torch.

>>> from cmmdl.export import export_model
>>> export_model("cmmdl-rt", "model.onnx")
"""

from cmmdl.export.agreement import Agreement
from cmmdl.export.model import FORMATS, PRECISIONS, export_model

__all__ = ["FORMATS", "PRECISIONS", "Agreement", "export_model"]
