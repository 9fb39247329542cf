"""Every command that a page tells a reader to type does what the page says."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.transcript import Block, Reader, blocks, free_port

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "data"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_COMMANDS = [page for page in PAGES if blocks(page)]

SERVE = Block(("background",), "muniment serve")
LINE = Block(
    (),
    'printf \'%s\\n\' \'{"action":"GET","resource":"/missing","status":404}\' | '
    "curl --fail --silent --data-binary @- -H 'Content-Type: application/x-ndjson' "
    "'http://127.0.0.1:8470/api/v1/logs/default/entries?as=json' > receipt.json\n"
    "sleep 2",
)
PLACE = Block(
    (),
    'place=$(python3 -c \'import json; r = json.load(open("receipt.json")); '
    'print(r["log"], r["shard"], r["first"], sep="/")\')',
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: a path of a Unix socket has some hundred characters at most."""
    with tempfile.TemporaryDirectory(prefix="page-") as name:
        yield Path(name)


@pytest.fixture
def reader(folder: Path) -> Iterator[Reader]:
    listen, syslog, edge, web = (f"127.0.0.1:{free_port()}" for _ in range(4))
    fleet = str(free_port())
    replaced = {
        "127.0.0.1:8470": listen,
        "127.0.0.1:5514": syslog,
        "127.0.0.1:8080": edge,
        "127.0.0.1:8081": web,
        "http.server 8081": f"http.server {web.rpartition(':')[2]}",
        "/var/log/haproxy.log": "haproxy.log",
        "127.0.0.1:8443": f"127.0.0.1:{fleet}",
        "--port 8443": f"--port {fleet}",
    }
    variables = {
        "MUNIMENT_LISTEN": listen,
        "MUNIMENT_SYSLOG": syslog,
        "MUNIMENT_URL": f"http://{listen}",
    }
    shutil.copy(SAMPLES / "haproxy" / "udp_rfc3164_len8192.log", folder / "haproxy.log")
    shutil.copy(SAMPLES / "nginx" / "access_combined.log", folder / "access.log")
    someone = Reader(folder, replaced, f"http://{listen}", variables)
    yield someone
    someone.stop()


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_reader_can_follow_the_page(page: Path, reader: Reader) -> None:
    todo = blocks(page)
    if any("haproxy -f" in block.text for block in todo) and not (
        shutil.which("haproxy") or Path("/usr/sbin/haproxy").exists()
    ):
        pytest.skip("HAProxy is not installed here")
    if not any("muniment serve" in block.text for block in todo):
        for block in (SERVE, LINE, PLACE):
            reader.follow(block)
    for block in todo:
        reader.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []
