"""Fusing over HTTP, with a page for the browser; needs ``pip install "cmmdl[serve]"``."""
