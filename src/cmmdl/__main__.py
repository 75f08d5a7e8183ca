"""``python -m cmmdl`` is the ``cmmdl`` command; ``accelerate launch -m cmmdl`` needs it."""

from cmmdl.cli import main

if __name__ == "__main__":
    main(prog_name="cmmdl")
