"""The units of systemd: systemd takes them, says how exposed they are, and a node that is traced
makes no system call that its unit forbids."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.chart import ROOT
from tests.docs.transcript import Block, Reader, free_port

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
EACH = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
MAX_EXPOSURE = 2.0
"""Of 10, as `systemd-analyze security` counts; a unit without any bound has 9.6."""

WORK = """
printf '%s\\n' '{"action":"GET","resource":"/"}' > lines.ndjson
muniment send --as json --ndjson lines.ndjson
sleep 3
muniment search 'action:GET' --json | grep -q GET
muniment sql 'SELECT count(*) FROM events' | grep -q 1
"""


def analyze(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze") or pytest.skip("systemd is not installed here")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, check=False, cwd=cwd
    )


def installed(unit: Path, directory: Path) -> Path:
    """A copy that names a program which is there; systemd looks whether it is."""
    path = directory / unit.name.replace("@.", "@a.")
    path.write_text(unit.read_text().replace("/opt/muniment/bin/muniment", "/bin/true"))
    return path


@EACH
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    done = analyze("verify", str(installed(unit, tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")


@EACH
def test_it_is_hardly_exposed(unit: Path, tmp_path: Path) -> None:
    path = installed(unit, tmp_path)
    done = analyze("security", "--offline=true", f"./{path.name}", cwd=tmp_path)
    found = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip("this systemd does not look at files")
    print(f"{unit.name}: {found[1]}")
    assert float(found[1]) <= MAX_EXPOSURE


@EACH
def test_the_commands_exist(unit: Path) -> None:
    (command,) = re.findall(r"^ExecStart=/opt/muniment/bin/(.*)$", unit.read_text(), re.MULTILINE)
    words = [word for word in command.split() if not word.startswith(("/", "--"))]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("muniment")), *words[1:], "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for option in re.findall(r"--[a-z-]+", command):
        assert option in done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    listen = f"127.0.0.1:{free_port()}"
    variables = {
        "MUNIMENT_LISTEN": listen,
        "MUNIMENT_SYSLOG": "off",
        "MUNIMENT_URL": f"http://{listen}",
    }
    someone = Reader(tmp_path, {}, f"http://{listen}", variables)
    yield someone
    someone.stop()


def test_a_node_makes_no_call_that_its_unit_forbids(reader: Reader) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed here")
    allowed = permitted(next(unit for unit in UNITS if unit.name == "muniment@.service"))
    probe = subprocess.run(["strace", "-c", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("nothing can be traced here")
    reader.follow(
        Block(("background",), "strace -D -f --seccomp-bpf -qqq -o calls.txt muniment serve")
    )
    reader.follow(Block((), WORK))
    reader.stop_first()
    lines = (reader.folder / "calls.txt").read_text(errors="replace").splitlines()
    made = {found[1] for line in lines if (found := re.match(r"\d+\s+(\w+)\(", line))}
    assert {"fdatasync", "setpriority", "execve"} <= made
    assert made <= allowed, sorted(made - allowed)


def permitted(unit: Path) -> set[str]:
    """The system calls that the lines of a unit leave."""
    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit.read_text(), re.MULTILINE):
        calls = {call for word in line.lstrip("~").split() for call in expanded(word)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def expanded(word: str) -> set[str]:
    """The calls of a group, and of the groups in it."""
    if not word.startswith("@"):
        return {word}
    done = analyze("syscall-filter", word)
    assert done.returncode == 0, done.stderr
    inner = [line.strip() for line in done.stdout.splitlines()[1:]]
    return {call for one in inner if one and not one.startswith("#") for call in expanded(one)}
