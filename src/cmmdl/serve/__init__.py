"""Fusing over HTTP, and a page for the browser. Needs ``pip install "cmmdl[serve]"``; nothing here imports it by itself."""
