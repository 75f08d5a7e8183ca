"""Makes the example pair: ``python examples/make_pair.py`` writes examples/ir.png and examples/vis.png again."""

from pathlib import Path

from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    ir, vis = synthetic_pair(480, 640, seed=3)
    write_image(HERE / "ir.png", ir)
    write_image(HERE / "vis.png", vis)
