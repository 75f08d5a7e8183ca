"""One pair: python examples/pair.py IR VIS OUT [MODEL]"""

import sys

from cmmdl import Fuser
from cmmdl.files.images import write_image


def main(ir: str, vis: str, out: str, model: str = "cmmdl-rt") -> None:
    fuser = Fuser(model)
    fused = fuser(ir, vis)  # an array, as deep and as coloured as the visible picture
    write_image(out, fused)
    print(f"{out}: {fused.shape[1]}x{fused.shape[0]}, {fuser.backend.describe()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
