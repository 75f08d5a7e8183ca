"""How one picture lies on the other: measure it, say it, mend it.

``register`` measures, ``Alignment`` holds the answer, ``grid`` brings both pictures onto one grid.
"""

from cmmdl.align.registration import register
from cmmdl.align.transform import Alignment, identity, load, save, tolerance
from cmmdl.align.warp import Grid, blend, grid, onto_vis

__all__ = ["Alignment", "Grid", "blend", "grid", "identity", "load", "onto_vis", "register", "save", "tolerance"]
