"""``cmmdl doctor`` tells what a report of a problem needs; the modules below it tell the truth."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cmmdl.cli import doctor, main
from cmmdl.runtimes import memory


def rows() -> dict[str, str]:
    result = CliRunner().invoke(main, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0
    return {line.split("  ")[0]: line.partition("  ")[2].strip() for line in result.stdout.splitlines()}


def test_everything_is_named() -> None:
    found = rows()
    assert found["python"].startswith(platform.python_version())
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["threads"].startswith(f"{torch.get_num_threads()} ")
    assert found["torch uses"] == torch.backends.cpu.get_cpu_capability()
    assert {"cmmdl", "numpy", "pillow", "opencv-python-headless", "extra train", "extra plot"} <= found.keys()
    assert "cuda" in found or "cuda:0" in found


def test_runtimes_and_what_auto_picks() -> None:
    found = rows()
    assert "torch" in found["runtimes"].split(", ")
    assert {"cmmdl-ivf", "mean"} <= set(found["auto: torch"].split(", "))


def test_a_missing_extra_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "train", ("accelerate", "no-such-package"))
    assert rows()["extra train"] == 'no-such-package missing: pip install "cmmdl[train]"'


def test_instruction_sets_agree_with_torch() -> None:
    found = rows()
    if "instructions" not in found:
        pytest.skip("needs /proc/cpuinfo")
    if found["torch uses"] == "AVX512":
        assert "AVX512" in found["instructions"]
        assert "AVX2" in found["instructions"]


def test_free_memory_is_plausible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = memory.available_bytes(torch.device("cpu"))
    if free is None:
        pytest.skip("needs a system that tells its free memory")
    assert 2**26 < free < 2**45
    monkeypatch.setattr(memory, "_system", lambda: 10**6)
    monkeypatch.setattr(memory, "memory_left", lambda: 10**5)
    assert memory.available_bytes(torch.device("cpu")) == 10**5


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is set on Linux only")
def test_memory_is_reused() -> None:
    """Page faults of taking and freeing 64 MiB twenty times: a fraction with reuse, all pages each time without.

    The heap is walked through first: how often a block lands on pages that nothing has touched yet depends on where the
    system happened to put the heap: up to 5 of the first 20 did.
    """
    code = (
        "import sys, resource\n"
        "from cmmdl.models.allocator import reuse_memory\n"
        "if sys.argv[1] == 'yes': print(reuse_memory())\n"
        "import torch\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(12): torch.ones(2**24)\n"
        "start = faults()\n"
        "for _ in range(20): torch.ones(2**24)\n"
        "print(faults() - start)"
    )
    outputs = {
        answer: subprocess.run([sys.executable, "-c", code, answer], capture_output=True, text=True, check=True).stdout
        for answer in ("yes", "no")
    }
    done, with_reuse = outputs["yes"].split()
    if done != "True":
        pytest.skip("needs glibc")
    assert int(with_reuse) < int(outputs["no"]) / 3
