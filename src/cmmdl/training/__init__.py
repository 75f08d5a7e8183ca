"""Training: configuration, crops, the loop, and what a run leaves behind. Needs ``pip install "cmmdl[train]"``."""
