"""What is packed: the container's list of packages, and that commands of the release exist."""

from __future__ import annotations

import json
import os
import re
import tomllib

import pytest

from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return found[0]


def test_the_container_has_what_the_package_needs_and_no_torch() -> None:
    lines = (ROOT / "container/requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    needed = {name(requirement) for requirement in PROJECT["dependencies"]} - {"torch"}
    assert set(listed) == needed | {name(requirement) for requirement in PROJECT["optional-dependencies"]["onnx"]}
    assert listed == list(dict.fromkeys(listed))


def test_packages_of_the_page_are_pinned() -> None:
    wanted = json.loads((ROOT / "web/package.json").read_text(encoding="utf-8"))["devDependencies"]
    locked = json.loads((ROOT / "web/package-lock.json").read_text(encoding="utf-8"))["packages"]
    for package, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), "a version, no range"
        assert locked[f"node_modules/{package}"]["version"] == version
    assert all(one["integrity"].startswith("sha512-") for path, one in locked.items() if path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
@pytest.mark.parametrize("script", [".ci/run", ".ci/dist", "container/install", "container/size"])
def test_scripts_can_be_run(script: str) -> None:
    if not (ROOT / script).exists():
        pytest.skip("not in the source archive")
    assert os.access(ROOT / script, os.X_OK)
