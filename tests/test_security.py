"""What SECURITY.md promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

BLOCKED = """
import socket, sys
def refuse(*_, **__): raise OSError("no network")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from cmmdl.cli import main
main(sys.argv[1:])
"""


def test_fusing_scoring_and_listing_need_no_network(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(48, 64)
    for name, picture in (("ir", ir), ("vis", vis)):
        write_image(tmp_path / f"{name}.png", picture)
    pair = [str(tmp_path / "ir.png"), str(tmp_path / "vis.png")]
    fused = str(tmp_path / "fused.png")
    for arguments in (
        ["fuse", *pair, "-o", fused, "--model", "cmmdl-rt", "--backend", "torch"],
        ["evaluate", fused, *pair],
        ["models"],
    ):
        result = subprocess.run(
            [sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result.stderr
