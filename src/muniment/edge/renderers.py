"""The renderers by name: each makes the files of one balancer from a description."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from muniment.edge.balancer import Balancer
from muniment.edge.description import Description
from muniment.errors import MunimentError

CHECK_SECONDS = 60
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")

Renderer = Callable[[Description], Mapping[str, str]]
"""Takes a description, returns texts by relative file name; the first is the main file."""

Checker = Callable[[Path], str | None]
"""Takes the directory that the files are in; None, or the words of the balancer that refuses."""

RENDERERS: Mapping[str, str] = {
    "haproxy": "muniment.edge.haproxy",
    "nginx": "muniment.edge.nginx",
    "envoy": "muniment.edge.envoy",
    "kubernetes": "muniment.edge.kubernetes",
    "aws": "muniment.edge.aws",
}


class NoBinary(MunimentError):
    """The balancer is not installed here, so that it cannot be asked what it thinks of a file."""


def renderer(name: str) -> Renderer:
    """Returns the renderer of a name in `RENDERERS`."""
    found: Renderer = import_module(RENDERERS[name]).render
    return found


def checker(name: str) -> Checker | None:
    """Returns how a balancer checks its files; None where there is no such check."""
    found: Checker | None = getattr(import_module(RENDERERS[name]), "check", None)
    return found


def process(name: str, directory: Path) -> Balancer:
    """Returns a balancer that can be run in a directory of its own."""
    found: Balancer = import_module(RENDERERS[name]).process(directory)
    return found


def binary(name: str) -> str:
    """Returns the path of a program. Raises NoBinary."""
    found = shutil.which(name) or next(
        (str(Path(place) / name) for place in _PLACES if (Path(place) / name).exists()), None
    )
    if found is None:
        raise NoBinary(f"{name} is not installed here")
    return found


def complaint(command: list[str], directory: Path) -> str | None:
    """Runs a check of a configuration; None where it ends with 0, else what it wrote."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not answer in {CHECK_SECONDS} s"
    if done.returncode == 0:
        return None
    return (done.stderr + done.stdout).strip()[-8_000:] or f"exit status {done.returncode}"
