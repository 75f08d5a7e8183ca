"""The small network on ONNX Runtime alone, without torch: python examples/onnx_without_torch.py MODEL IR VIS OUT

`cmmdl export cmmdl-rt -o model.onnx` writes the model; the file's metadata says how pictures become its inputs.
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image


def main(model: str, ir: str, vis: str, out: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rgb = np.asarray(Image.open(vis).convert("RGB"), np.float32) / 255
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    warm = np.asarray(Image.open(ir).convert("L"), np.float32) / 255
    (fused,) = session.run(None, {"ir": warm[None, None], "vis": luma[None, None]})
    coloured = rgb + (fused[0, 0] - luma)[..., None]  # the visible picture's chroma under the fused luma
    Image.fromarray(np.rint(255 * coloured.clip(0, 1)).astype(np.uint8)).save(out)
    print(f"{out}: {rgb.shape[1]}x{rgb.shape[0]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
