"""Verification over HTTP: whatever a server changes, hides or takes back is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from muniment.errors import NotFound
from muniment.log.note import Signer
from muniment.log.pruned import Pruned
from muniment.trust.remote import verify_remote

from .fake_server import HEADER, FakeServer
from .signed_log import SignedLog, filled


class Site:
    """The tiles of a log, as `verify_remote` fetches them, with some of them changed."""

    def __init__(self, log: SignedLog) -> None:
        server = FakeServer()
        server.log = log
        self._server = server
        self.fetched: set[str] = set()
        self.changes: dict[str, Callable[[bytes], bytes | None]] = {}

    def fetch(self, path: str) -> bytes:
        if path == "pruned" and path not in self.changes:
            raise NotFound(path)
        self.fetched.add(path)
        if path == "pruned":
            return self.changes[path](b"") or b""
        answer = self._server._tile(path)
        if answer.status == 404:
            raise NotFound(path)
        body = self.changes.get(path, lambda data: data)(answer.body)
        if body is None:
            raise NotFound(path)
        return body


def no_sleep(_seconds: float) -> None:
    """Nothing changes meanwhile."""


def verify(site: Site, log: SignedLog, **options: object) -> list[str]:
    verifier = log.signer.verifier
    report = verify_remote("log:", site.fetch, verifier, sleep=no_sleep, **options)  # type: ignore[arg-type]
    return [str(finding) for finding in report.findings]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 511, 512, 700, 65_536, 66_000])
def test_every_bundle_and_tile_of_an_intact_log_is_read(count: int) -> None:
    log = filled(count)
    site = Site(log)
    progress: list[tuple[int, int]] = []
    found = verify(site, log, progress=lambda done, total: progress.append((done, total)))
    assert found == []
    assert progress[-1] == (count, count)
    expected = {"checkpoint"}
    for level in range(3):
        span = 256**level
        full, width = divmod(count // span, 256)
        names = [f"{n:03d}" for n in range(full)] + ([f"{full:03d}.p/{width}"] if width else [])
        expected |= {f"tile/{level}/{name}" for name in names}
        if not level:
            expected |= {f"tile/entries/{name}" for name in names}
    assert site.fetched == expected


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


CHANGES: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": flip,
    "missing": lambda _data: None,
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + data[:32],
    "empty": lambda _data: b"",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "tile/0/000",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/001",
        "tile/entries/002.p/188",
    ],
)
def test_each_file_that_is_changed_is_named(path: str, change: str) -> None:
    log = filled(700)
    site = Site(log)
    site.changes[path] = CHANGES[change]
    found = verify(site, log, claimed=700)
    if path == "checkpoint" and change == "longer":
        assert found  # a note with a part of itself behind it
    assert found, (path, change)
    named = "tile/0/" + path.rpartition("entries/")[2] if "entries" in path else path
    assert any(f"log:/{path}:" in text or f"log:/{named}:" in text for text in found), found


def test_entries_and_tiles_changed_together_do_not_give_the_signed_root() -> None:
    log, forged = filled(700), filled(700)
    forged.entries[300] = HEADER + b"nothing happened"
    site = Site(forged)
    site._server.log.checkpoint = lambda size=None: log.checkpoint()  # type: ignore[method-assign]
    (finding,) = verify(site, log)
    assert "the signed root is" in finding and "log:/checkpoint" in finding


def test_a_checkpoint_by_another_key_is_no_checkpoint() -> None:
    log = filled(10)
    site = Site(filled(10))
    site._server.log.signer = Signer(log.origin, b"another key of thirty-two bytes!")
    (finding,) = verify(site, log)
    assert "no checkpoint of this log: no trusted key signed" in finding


def test_a_checkpoint_kept_elsewhere_must_be_on_the_history() -> None:
    log = filled(700)
    for size in (1, 255, 256, 257, 600, 700):
        assert verify(Site(log), log, trust=[log.checkpoint(size)]) == []
    other = filled(700)
    other.entries[10] = HEADER + b"what was there"
    (finding,) = verify(Site(log), log, trust=[other.checkpoint(400)])
    assert "another history" in finding and "at size 400" in finding


def test_a_log_put_back_is_found_with_a_later_checkpoint() -> None:
    late = filled(700).checkpoint()
    early = filled(300)
    (finding,) = verify(Site(early), early, trust=[late])
    assert "700" in finding and "300" in finding
    empty = SignedLog()
    (finding,) = verify(Site(empty), empty, trust=[late])
    assert "rolled back" in finding


def test_a_trusted_checkpoint_by_another_key_is_a_finding() -> None:
    log, impostor = filled(10), filled(10)
    impostor.signer = Signer(log.origin, b"another key of thirty-two bytes!")
    (finding,) = verify(Site(log), log, trust=[impostor.checkpoint()])
    assert "not signed by this log's key" in finding


def test_a_receipt_may_be_ahead_of_the_published_checkpoint_for_a_moment() -> None:
    log = filled(10)
    site = Site(log)
    receipt = filled(12).checkpoint()

    def publish(_seconds: float) -> None:
        log.entries[:] = filled(12).entries

    verifier = log.signer.verifier
    report = verify_remote("log:", site.fetch, verifier, trust=[receipt], sleep=publish)
    assert report.findings == [] and report.size == 12


def test_a_log_that_grows_past_its_partial_tiles_can_still_be_read() -> None:
    log = filled(300)
    old = log.checkpoint()
    site = Site(log)
    site.changes["checkpoint"] = lambda _data: old.encode()
    log.entries[:] = filled(1000).entries
    for path in ("tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"):
        site.changes[path] = lambda _data: None
    log.entries[:] = filled(256 * 256).entries
    assert verify(site, log) == []


def test_no_log_at_all_is_no_verdict() -> None:
    log = SignedLog()
    with pytest.raises(NotFound):
        verify_remote("log:", Site(log).fetch, log.signer.verifier)
    assert verify(Site(log), log, claimed=0) == []


def pruned(site: Site, log: SignedLog, minimum: int, act: int) -> None:
    """Takes away what tlog-tiles lets go of, and shows the note that says so."""
    edge = site.fetch(f"tile/0/{minimum // 256:03d}")[: minimum % 256 * 32]
    note = Pruned.sign(log.signer, minimum, act, bytes(32), edge).note.encode()
    for number in range(-(-minimum // 256)):
        site.changes[f"tile/entries/{number:03d}"] = lambda data: None
        if (number + 1) * 256 <= minimum:
            site.changes[f"tile/0/{number:03d}"] = lambda data: None
    site.changes["pruned"] = lambda data: note


@pytest.mark.parametrize("minimum", [1, 255, 256, 300, 512, 700])
def test_what_remains_of_a_pruned_log_is_read(minimum: int) -> None:
    log = filled(1_000)
    site = Site(log)
    pruned(site, log, minimum, 990)
    assert verify(site, log) == []
    assert verify(site, log, trust=[log.checkpoint(1_000)]) == []
    site.changes["tile/entries/003.p/232"] = flip
    assert verify(site, log) != []


def test_hashes_of_expired_entries_must_lead_to_the_signed_root() -> None:
    log = filled(1_000)
    site = Site(log)
    pruned(site, log, 600, 990)
    site.changes["tile/1/000.p/3"] = flip
    assert verify(site, log) != []


def test_a_note_of_another_key_or_without_its_act_is_a_finding() -> None:
    log = filled(1_000)
    for signer, act in ((Signer(log.signer.verifier.name, bytes(32)), 990), (log.signer, 1_000)):
        site = Site(log)
        note = Pruned.sign(signer, 256, act, bytes(32), b"").note.encode()
        site.changes["pruned"] = lambda data, note=note: note  # type: ignore[misc]
        assert verify(site, log) != []
