"""Verification of a server, or of one log behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from muniment.cli.client import Server
from muniment.cli.known_keys import keys_of, known_keys_file, read_known_keys, remember
from muniment.cli.logs import ShardInfo, list_logs
from muniment.cli.patience import patiently
from muniment.errors import InputError, NotFound, SettingsError
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Verifier
from muniment.log.report import Finding, Report, ShardReport
from muniment.trust.remote import verify_remote

Progress = Callable[[int, int], None]

_SHARD_URL = re.compile(r"(https?://.+?)/tlog/([^/]+)/([^/]+)")


def verify_url(
    url: str,
    trust: Sequence[str],
    given: Sequence[Verifier],
    *,
    jobs: int,
    token: str | None,
    ca: Path | None,
    progress: Progress,
) -> Report:
    """Returns what was found at a server (all its logs), at one shard, or at any tiled log.

    Without a key given, the key remembered of an origin is trusted; that of an origin never met is
    taken as the server shows it, and remembered when the log is intact. Raises MunimentError
    where it cannot be looked at.
    """
    one = _SHARD_URL.fullmatch(url)
    base = one[1] if one else url
    with Server(base, token, ca) as server:
        try:
            logs = patiently(lambda: list_logs(server))
        except NotFound:
            return _foreign(server, trust, given, jobs, progress)
        shards = [shard for log in logs.values() for shard in log]
        if one is not None:
            names = (unquote(one[2]), unquote(one[3]))
            shards = [shard for shard in shards if (shard.log, shard.shard) == names]
        if not shards:
            raise NotFound(f"{url} shows no such log")
        return _Run(server, trust, given, jobs, progress).all(shards, whole=one is None)


class _Run:
    def __init__(
        self,
        server: Server,
        trust: Sequence[str],
        given: Sequence[Verifier],
        jobs: int,
        progress: Progress,
    ) -> None:
        self._server, self._trust, self._given = server, trust, given
        self._jobs, self._progress = jobs, progress
        self._file = known_keys_file()
        self._known = [] if given else read_known_keys(self._file)
        self._report = Report()
        self._done = self._total = 0

    def all(self, shards: Sequence[ShardInfo], *, whole: bool) -> Report:
        """Verifies shards; with `whole`, every origin of `trust` must be among them."""
        self._total = sum(info.size for info in shards)
        for info in shards:
            self._shard(info)
        origins = {info.origin for info in shards}
        for note in self._trust if whole else ():
            origin = Checkpoint.of_note(note).origin
            if origin not in origins:
                problem = f"there is no log {origin}, of which a checkpoint was kept"
                self._report.other.append(Finding(self._server.url, problem))
        return self._report

    def _shard(self, info: ShardInfo) -> None:
        prefix = f"tlog/{info.log}/{info.shard}"
        place = f"{self._server.url}/{prefix}"
        try:
            shown = Verifier.parse(info.verifier)
        except InputError as error:
            shard = ShardReport(place, info.origin)
            shard.find(place, f"the server shows no verifier key: {error}")
            self._report.shards.append(shard)
            return
        trusted = keys_of(info.origin, self._given or self._known)
        if self._given and not trusted:
            raise SettingsError(f"no key of {info.origin} is among the keys given")
        verifier = trusted[0] if trusted else shown
        report = verify_remote(
            place,
            fetcher(self._server, f"/{prefix}"),
            shown if shown in trusted else verifier,
            trust=self._trust,
            claimed=info.size,
            jobs=self._jobs,
            progress=self._moved,
        )
        self._report.notes += report.notes
        self._done += info.size
        if shown.name != info.origin:
            report.find(place, f"the server shows a key of {shown.name} for {info.origin}")
        elif trusted and shown not in trusted:
            report.find(place, f"the server shows the key {shown}, the trusted one is {trusted[0]}")
        elif not trusted and not report.findings:
            remember(shown, self._file)
            remark = (
                f"{info.origin} is new: its key, as the server shows it, is now in {self._file}"
            )
            self._report.notes.append(remark)
        self._report.shards.append(report)

    def _moved(self, done: int, total: int) -> None:
        self._progress(self._done + done, max(self._total, self._done + total))


def _foreign(
    server: Server,
    trust: Sequence[str],
    given: Sequence[Verifier],
    jobs: int,
    progress: Progress,
) -> Report:
    """A log of somebody else's making that speaks C2SP tlog-tiles."""
    fetch = fetcher(server, "")
    try:
        checkpoint = Checkpoint.of_note(fetch("checkpoint").decode())
    except (InputError, UnicodeDecodeError) as error:
        raise NotFound(f"{server.url} shows no log: {error}") from error
    trusted = keys_of(checkpoint.origin, [*given, *read_known_keys(known_keys_file())])
    if not trusted:
        raise SettingsError(
            f"no key of {checkpoint.origin} is known: give the log's verifier key with --key"
        )
    report = verify_remote(server.url, fetch, trusted[0], trust=trust, jobs=jobs, progress=progress)
    return Report(shards=[report], notes=list(report.notes))


def fetcher(server: Server, prefix: str) -> Callable[[str], bytes]:
    """Returns a function that fetches below a prefix and asks again where the network fails."""

    def fetch(path: str) -> bytes:
        return patiently(lambda: server.get_bytes(f"{prefix}/{path}"), tries=4, reconnect=True)

    return fetch
