"""Clients from npm: installed once for a checkout, run by Node."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .process import Process
from .programs import SOURCES, built, run


def installed(*packages: str) -> Path:
    """Returns the `node_modules` with these packages, each `name@version`; skips without npm.

    Scripts of the packages are not run.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")

    def install(directory: Path) -> None:
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(directory)]
        run(packages[0], ["npm", "install", *options, *packages], directory)

    return built("npm", [package.encode() for package in packages], install, "") / "node_modules"


def node(program: str, modules: Path, output: Path, *arguments: str) -> Process:
    """Runs one of the programs beside the tests with the given packages."""
    command = ["node", str(SOURCES / "node" / program), *arguments]
    return Process(command, output, {"NODE_PATH": str(modules)})
