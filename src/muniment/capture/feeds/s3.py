"""`[[s3]]`: logs that AWS puts into a bucket, a line or a CloudTrail record an entry.

Objects are taken in the order in which they came to be, whole or in pieces; each once, and again
where its content is replaced. CloudTrail's digests are checked as they come in.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import Field, ValidationInfo, field_validator

from muniment.balancer.aws import Aws, AwsError
from muniment.capture.feeds import digests, s3_trail
from muniment.capture.feeds.s3_objects import MAX_FOUND, Bucket, Found, Unreadable
from muniment.capture.feeds.s3_position import Position
from muniment.capture.parcel import MAX_RECORD
from muniment.capture.port import Feed, Outlet
from muniment.capture.systems.aws import Reached
from muniment.clock import Clock, SystemClock, rfc3339
from muniment.errors import InputError, SettingsError
from muniment.settings.kinds import Source

CLOUDTRAIL = "cloudtrail"
FOLDERS_EVERY = 600.0
"""Seconds after which new folders (regions, accounts) are looked for."""

_PUT_BYTES = 1 << 20
_TEST_FILES = ("ELBAccessLogTestFile", "ELBConnectionLogTestFile", "ELBHealthCheckLogTestFile")


class Settings(Reached):
    """A table `[[s3]]`. Its stream has its name."""

    bucket: str = Field(min_length=3, max_length=255, description="Name of the bucket.")
    prefix: str = Field("", max_length=1_024, description="Where in the bucket the logs are.")
    source: Source = Field(alias="as", description="`cloudtrail`, or `aws-elb` and other lines.")
    every: float = Field(60.0, ge=1, le=86_400, description="Seconds between listings.")
    days: float = Field(
        1.0, ge=0, le=3_650, description="How many days back the first start begins."
    )
    late_days: int = Field(
        1, ge=0, le=31, description="How many days late an object may come into its day's folder."
    )
    digests: bool = Field(True, description="Whether digests of CloudTrail are checked.")
    digest_keys: Path | None = Field(
        None, description="File of public keys, as ListPublicKeys answers; else AWS is asked."
    )

    @field_validator("digest_keys")
    @classmethod
    def _absolute(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        folder: Path = (info.context or {}).get("folder", Path())
        return None if value is None else folder / value


def feeds(settings: Settings) -> list[Feed]:
    """Returns the feed of a section."""
    return [S3Feed(settings)]


class S3Feed:
    """Follows one prefix of a bucket; see `port.Feed`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._api = Aws(settings.access())
        self._bucket = Bucket(self._api, settings.bucket)
        self._folders: list[str] = []
        self._folders_due = 0.0
        self._checker = s3_trail.Checker(
            self._bucket, s3_trail.Keys(self._api, _given_keys(settings.digest_keys)), self._clock
        )

    @property
    def stream(self) -> str:
        """The name of the section."""
        return self._settings.name

    def run(self, outlet: Outlet, stopping: Event) -> None:
        """Puts what is new until `stopping` is set. Raises AwsError and Stopped."""
        position = self.position(outlet)
        try:
            while not stopping.is_set():
                if not self.round(outlet, position, stopping):
                    stopping.wait(self._settings.every)
        finally:
            self._api.close()

    def position(self, outlet: Outlet) -> Position:
        """Returns where the feed goes on."""
        kept = outlet.position(self.stream)
        if kept is not None:
            return Position.from_json(kept)
        begin = self._clock.now().astimezone(UTC) - timedelta(days=self._settings.days)
        return Position(begin.replace(microsecond=0))

    def round(self, outlet: Outlet, position: Position, stopping: Event | None = None) -> int:
        """Puts what is new; returns a number where there is more. Raises AwsError and Stopped."""
        # Digests are listed first: the files that these name are there when files are listed.
        folders = self._all_folders()
        named = self._new(sorted(map(s3_trail.digest_folder, folders)), position, True)
        found = self._new([one for one in folders if not s3_trail.is_digest(one)], position, False)
        # What is newer than the end of a list that was cut waits for the next round.
        ends = [one[-1].modified for one in (named, found) if len(one) >= MAX_FOUND]
        taken = [one for one in (*found, *named) if not ends or one.modified <= min(ends)]
        for one in sorted(taken, key=lambda one: _turn(one, position)):
            if stopping is not None and stopping.is_set():
                break
            self._take(one, outlet, position)
        return len(taken) if ends else 0

    def _all_folders(self) -> list[str]:
        now = self._clock.monotonic()
        if not self._folders or now >= self._folders_due:
            self._folders = self._bucket.folders(self._settings.prefix)
            self._folders_due = now + FOLDERS_EVERY
        return self._folders

    def _new(self, folders: list[str], position: Position, digest: bool) -> list[Found]:
        if digest and not (self._is_trail and self._settings.digests):
            return []
        begin = (position.floor - timedelta(days=self._settings.late_days)).date()
        end = (self._clock.now().astimezone(UTC) + timedelta(days=1)).date()
        found = self._bucket.since(
            list(dict.fromkeys(folders)), begin, end, position.floor, set(position.done)
        )
        return [one for one in found if s3_trail.is_digest(one.key) == digest]

    @property
    def _is_trail(self) -> bool:
        return self._settings.source == CLOUDTRAIL

    def _take(self, found: Found, outlet: Outlet, position: Position) -> None:
        if position.opened != found.mark:
            position.opened, position.records = found.mark, 0
        about = {"bucket": self._bucket.name, "key": found.key, "etag": found.etag}
        try:
            if s3_trail.is_digest(found.key):
                self._put_digest(found, about, outlet, position)
            elif found.key.endswith(_TEST_FILES):
                self._finish(found, [], self._settings.source, about, outlet, position)
            else:
                self._put_file(found, about, outlet, position)
        except Unreadable as error:
            self._put_unread(found, about, error.detail, outlet, position)
        except AwsError as error:
            if not error.is_gone and error.code != "PreconditionFailed":
                raise
            self._put_unread(found, about, error.detail, outlet, position)

    def _put_file(
        self, found: Found, about: dict[str, str], outlet: Outlet, position: Position
    ) -> None:
        """Puts the records of an object, from where it was left, in pieces of bounded size."""
        waiting: list[bytes] = []
        size = number = 0
        try:
            for number, record in enumerate(self._records(found, position), 1):
                if number <= position.records:
                    continue
                waiting.append(record)
                size += len(record)
                if size >= _PUT_BYTES:
                    position.records = number
                    self._put(waiting, self._settings.source, about, outlet, position)
                    waiting, size = [], 0
        except Unreadable:
            position.records = number
            self._put(waiting, self._settings.source, about, outlet, position)
            raise
        self._finish(found, waiting, self._settings.source, about, outlet, position)

    def _records(self, found: Found, position: Position) -> Iterator[bytes]:
        if not self._is_trail:
            pieces, _ = self._bucket.open(found.key, found.etag)
            yield from lines(pieces)
            return
        content, _ = self._bucket.content(found.key, s3_trail.MAX_TRAIL, found.etag)
        yield from s3_trail.records(content, found.key)
        if self._settings.digests:
            position.wait_for_digest(found.key, s3_trail.hashed(content), found.modified)

    def _put_digest(
        self, found: Found, about: dict[str, str], outlet: Outlet, position: Position
    ) -> None:
        before = position.to_json()
        content, events = self._checker.check(found, position)
        if position.records == 0:
            # Were it cut off after this, the digest would be checked again, from where it was.
            kept = {**before, "records": 1}
            outlet.put(self.stream, "json", [content], about=about, position=kept)
        self._finish(found, events, "muniment", about, outlet, position)

    def _put_unread(
        self, found: Found, about: dict[str, str], why: str, outlet: Outlet, position: Position
    ) -> None:
        event = {
            "time": rfc3339(self._clock.now()),
            "actor": "muniment",
            "action": "capture.unread",
            "resource": f"s3://{self._bucket.name}/{found.key}",
            "outcome": "failure",
            "detail": why[:1_000],
            "records": position.records,
        }
        self._finish(found, [orjson.dumps(event)], "muniment", about, outlet, position)

    def _finish(
        self,
        found: Found,
        records: list[bytes],
        source: str,
        about: dict[str, str],
        outlet: Outlet,
        position: Position,
    ) -> None:
        position.finish(found)
        self._put(records, source, about, outlet, position)

    def _put(
        self,
        records: list[bytes],
        source: str,
        about: dict[str, str],
        outlet: Outlet,
        position: Position,
    ) -> None:
        outlet.put(self.stream, source, records, about=about, position=position.to_json())


def _turn(found: Found, position: Position) -> tuple[bool, datetime, bool, str]:
    """What was begun is first; a digest, of what came to be in one second, last."""
    digest = s3_trail.is_digest(found.key)
    return found.mark != position.opened, found.modified, digest, found.key


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields the lines of an object without their ends; one of over MAX_RECORD bytes in parts."""
    rest = b""
    try:
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield from _parts(line.removesuffix(b"\r"))
            while len(rest) > MAX_RECORD:
                yield rest[:MAX_RECORD]
                rest = rest[MAX_RECORD:]
    except Unreadable:
        yield from _parts(rest)
        raise
    yield from _parts(rest)


def _parts(line: bytes) -> Iterator[bytes]:
    if len(line) <= MAX_RECORD:
        if line:
            yield line
        return
    for begin in range(0, len(line), MAX_RECORD):
        yield line[begin : begin + MAX_RECORD]


def _given_keys(path: Path | None) -> dict[str, RSAPublicKey]:
    """Reads `{"PublicKeyList": [{"Fingerprint", "Value"}]}`. Raises SettingsError."""
    if path is None:
        return {}
    try:
        listed = orjson.loads(path.read_bytes())["PublicKeyList"]
        return {str(one["Fingerprint"]): digests.public_key(str(one["Value"])) for one in listed}
    except (OSError, orjson.JSONDecodeError, InputError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} holds no public keys of CloudTrail: {error}") from error
