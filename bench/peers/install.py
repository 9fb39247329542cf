"""Installs the peers, pinned, into one directory; what cannot be had is named and left out.

    python -m bench.peers.install [--into .cache/peers] [--only tessera|immudb|rsyslog]

Tessera and immudb are built by Go from the modules that go.mod and go.sum pin here. rsyslog is
taken out of its Debian packages: nothing is installed on the machine, and root is not needed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

DEFAULT = Path(".cache") / "peers"
_GO = Path(__file__).parent / "go"
_SECONDS = 900
_PACKAGES = (
    "rsyslog=8.2302.0-1+deb12u2",
    "libestr0=0.1.11-1",
    "libfastjson4=1.2304.0-1",
    "liblognorm5=2.0.6-4",
)


class NotInstalledError(Exception):
    """A peer is not here; the text says why."""


def _run(command: list[str], folder: Path, **variables: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise NotInstalledError("\n".join((done.stderr or done.stdout).splitlines()[-3:]))


def _tool(name: str, path: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=path)
    if found is None:
        raise NotInstalledError(f"{name} is not on this machine")
    return found


def _go(module: str) -> Callable[[Path], None]:
    """Builds our program of a module and the tools that its go.mod names."""

    def install(into: Path) -> None:
        go = _tool("go", "/usr/local/go/bin:/usr/lib/go/bin")
        command = ["nice", "-n", "5", go, "install", "-buildvcs=false", ".", "tool"]
        _run(command, _GO / module, GOBIN=str(into / "bin"), GOTOOLCHAIN="local")

    return install


def _rsyslog(into: Path) -> None:
    apt, dpkg = _tool("apt-get", "/usr/bin"), _tool("dpkg-deb", "/usr/bin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run([apt, "download", *_PACKAGES], folder)
        for package in sorted(folder.glob("*.deb")):
            _run([dpkg, "--extract", str(package), str(into / "rsyslog")], folder)


INSTALLERS: dict[str, Callable[[Path], None]] = {
    "tessera": _go("tessera"),
    "immudb": _go("immudb"),
    "rsyslog": _rsyslog,
}


def main() -> None:
    """Installs what can be installed and says what happened to each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=DEFAULT)
    parser.add_argument("--only", choices=sorted(INSTALLERS), action="append")
    arguments = parser.parse_args()
    into = arguments.into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or INSTALLERS:
        try:
            INSTALLERS[name](into)
            print(f"{name}: installed")
        except (NotInstalledError, subprocess.TimeoutExpired) as reason:
            print(f"{name}: NOT installed: {reason}")


if __name__ == "__main__":
    main()
