"""The journal: entries as journalctl gives them, and going on behind the cursor of the last."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest
from capture_parts import MemoryOutlet

from muniment.capture.feeds.journald import Journal, JournalFailed, Settings, cursor_of, feeds

FAKE = """#!{python}
import json, sys, time
sys.stdout.reconfigure(line_buffering=True)
open({seen!r}, "a").write(json.dumps(sys.argv[1:]) + "\\n")
after = [a.partition("=")[2] for a in sys.argv if a.startswith("--after-cursor=")]
begin = int(after[0][2:]) + 1 if after else 0
for number in range(begin, 5):
    print(json.dumps({{"__CURSOR": f"s={{number}}", "MESSAGE": f"line {{number}}"}}))
{then}
"""


def fake(directory: Path, then: str = "time.sleep(60)") -> Path:
    """A journalctl with five entries, which then follows a silent journal or does as told."""
    script = directory / "journalctl"
    seen = str(directory / "seen")
    script.write_text(FAKE.format(python=sys.executable, seen=seen, then=then))
    script.chmod(0o755)
    return script


def journal(directory: Path, **options: object) -> Journal:
    command = str(directory / "journalctl")
    given = {"name": "system", "command": command, "parcel_age": 0.1, **options}
    (feed,) = feeds(Settings.model_validate(given))
    assert isinstance(feed, Journal)
    return feed


def run_until(feed: Journal, outlet: MemoryOutlet, count: int) -> None:
    """Runs the feed until so many records are put."""
    stopping = Event()
    thread = Thread(target=feed.run, args=(outlet, stopping), daemon=True)
    thread.start()
    for _ in range(6_000):
        if len(outlet.records("record")) >= count or not thread.is_alive():
            break
        stopping.wait(0.02)
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()


def test_entries_are_put_with_the_cursor_of_the_last(tmp_path: Path) -> None:
    fake(tmp_path)
    outlet = MemoryOutlet()
    run_until(journal(tmp_path), outlet, 5)
    records = [orjson.loads(record) for record in outlet.records("record")]
    assert [record["MESSAGE"] for record in records] == [f"line {n}" for n in range(5)]
    assert outlet.positions == {"system": {"cursor": "s=4"}}


def test_another_run_goes_on_behind_the_cursor(tmp_path: Path) -> None:
    fake(tmp_path)
    outlet = MemoryOutlet(positions={"system": {"cursor": "s=2"}})
    run_until(journal(tmp_path), outlet, 2)
    assert [orjson.loads(r)["__CURSOR"] for r in outlet.records("record")] == ["s=3", "s=4"]
    arguments = orjson.loads((tmp_path / "seen").read_bytes())
    assert "--after-cursor=s=2" in arguments
    assert "--no-tail" not in arguments


def test_the_first_run_begins_where_the_section_says() -> None:
    settings = Settings.model_validate({"name": "a", "units": ["haproxy.service"]})
    command = Journal(settings).command(None)
    assert command[:2] == ["journalctl", "--output=json"]
    assert {"--no-tail", "--unit=haproxy.service", "--follow", "--all"} <= set(command)
    at_end = Settings.model_validate({"name": "a", "from": "end", "matches": ["_PID=1"]})
    assert Journal(at_end).command(None)[-2:] == ["--lines=0", "_PID=1"]


@pytest.mark.parametrize(
    ("then", "said"), [("sys.exit(1)", "ended with status 1"), ("pass", "ended with status 0")]
)
def test_a_journalctl_that_ends_is_an_error_behind_what_it_gave(
    tmp_path: Path, then: str, said: str
) -> None:
    fake(tmp_path, then)
    outlet = MemoryOutlet()
    with pytest.raises(JournalFailed, match=said):
        journal(tmp_path).run(outlet, Event())
    assert len(outlet.records("record")) == 5


def test_a_missing_journalctl_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="No such file"):
        journal(tmp_path).run(MemoryOutlet(), Event())


def test_what_is_no_entry_has_no_cursor() -> None:
    assert cursor_of(b'{"__CURSOR":"s=1"}') == "s=1"
    assert [cursor_of(b) for b in (b"", b"[]", b"{}", b'{"__CURSOR":1}', b"\xff")] == [""] * 5
