"""The feed of a bucket against moto, and CloudTrail digests on the way in.

moto lists what was put at once, as S3 does; it has no ListPublicKeys: keys are given by file.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("boto3")
pytest.importorskip("moto")

import moto
from made_trail import BUCKET, Trail, public_keys
from tests.moto_region import REGION, client

from muniment.balancer.aws import AwsError
from muniment.capture.feeds import s3
from muniment.capture.feeds.s3 import S3Feed, Settings
from muniment.capture.feeds.s3_objects import Found
from muniment.capture.feeds.s3_position import LAG, MAX_DONE, Position

NOW = datetime.now(UTC)
ELB = f"AWSLogs/1/elasticloadbalancing/{REGION}/{NOW:%Y/%m/%d}/1_elasticloadbalancing_app.a"


@dataclass
class Spool:
    """An outlet in memory; raises `broken` once at the put of that number."""

    puts: list = field(default_factory=list)
    kept: dict | None = None
    broken: int = 0

    def put(self, stream, source, records, *, about=None, position=None):
        if self.broken == 1:
            self.broken = 0
            raise OSError("cut off")
        self.broken -= self.broken > 0
        self.puts.append((source, list(records), dict(about or {})))
        self.kept = json.loads(json.dumps(position))
        return 1

    def position(self, stream):
        return self.kept

    def records(self, source):
        return [one for kind, found, _ in self.puts if kind == source for one in found]

    def events(self):
        return [json.loads(one) for one in self.records("muniment")]


class Bucket:
    def __init__(self) -> None:
        self.s3 = client("s3")
        self.s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        self.spool = Spool()

    def put(self, key, body, **metadata):
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=metadata)

    def upload(self, trail):
        for key, body in trail.objects.items():
            signature = trail.signatures.get(key)
            self.put(key, body, **({"signature": signature} if signature else {}))
        trail.objects.clear()

    def feed(self, source="aws-elb", **settings):
        given = {"name": "logs", "bucket": BUCKET, "region": REGION, "as": source, **settings}
        return S3Feed(Settings(**given))

    def round(self, feed=None):
        """A round of an agent that has just started."""
        feed = feed or self.feed()
        feed.round(self.spool, feed.position(self.spool))
        return self.spool


@pytest.fixture
def bucket(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield Bucket()


def test_lines_of_objects_are_entries(bucket) -> None:
    bucket.put(f"{ELB}_1.log.gz", gzip.compress(b"a\r\nb\n\nc"))
    bucket.put(f"{ELB}_2.log", b"d\n")
    spool = bucket.round()
    assert spool.records("aws-elb") == [b"a", b"b", b"c", b"d"]
    about = spool.puts[0][2]
    assert (about["bucket"], about["key"]) == (BUCKET, f"{ELB}_1.log.gz")
    assert about["etag"]


def test_each_object_once_and_those_that_come_later(bucket) -> None:
    bucket.put(f"{ELB}_2.log", b"a")
    bucket.round()
    bucket.put(f"{ELB}_1.log", b"late, and before the other one by name")
    bucket.put(f"{ELB}_2_again.log", b"another one of the same period")
    bucket.round()
    bucket.round()
    assert len(bucket.spool.records("aws-elb")) == 3


def test_an_object_that_was_replaced_is_captured_again(bucket) -> None:
    bucket.put(f"{ELB}_1.log", b"one")
    bucket.round()
    bucket.put(f"{ELB}_1.log", b"other")
    bucket.round()
    assert bucket.spool.records("aws-elb") == [b"one", b"other"]


def test_only_days_that_may_have_something_new_are_listed(bucket) -> None:
    old = ELB.replace(f"{NOW:%Y/%m/%d}", "2020/01/01")
    bucket.put(f"{old}_1.log", b"put today into the folder of an old day")
    bucket.put(f"{ELB}_1.log", b"a")
    assert bucket.round().records("aws-elb") == [b"a"]


def test_folders_without_days(bucket) -> None:
    bucket.put("plain/1.log", b"a")
    bucket.put("plain/ELBAccessLogTestFile", b"Enable AWSLogs for ELB: a")
    assert bucket.round(bucket.feed(prefix="plain")).records("aws-elb") == [b"a"]


def test_several_accounts_and_regions(bucket) -> None:
    for place in ("AWSLogs/1/elasticloadbalancing/a", "AWSLogs/2/elasticloadbalancing/b"):
        bucket.put(f"{place}/{NOW:%Y/%m/%d}/1.log", place.encode())
    spool = bucket.round(bucket.feed(prefix="AWSLogs/"))
    assert len(spool.records("aws-elb")) == 2


def test_what_is_older_than_the_first_start_looks_back(bucket) -> None:
    bucket.put(f"{ELB}_1.log", b"a")
    feed = bucket.feed()
    position = Position(datetime.now(UTC) + timedelta(minutes=1))
    feed.round(bucket.spool, position)
    assert bucket.spool.puts == []


def test_a_large_object_comes_in_pieces_and_goes_on_where_it_was(bucket, monkeypatch) -> None:
    monkeypatch.setattr(s3, "_PUT_BYTES", 1_000)
    lines = [b"%06d" % n for n in range(2_000)]
    bucket.put(f"{ELB}_1.log.gz", gzip.compress(b"\n".join(lines)))
    for cut in (3, 2, 5, 4):
        bucket.spool.broken = cut
        with pytest.raises(OSError, match="cut off"):
            bucket.round()
    bucket.round()
    assert bucket.spool.records("aws-elb") == lines
    assert bucket.round().kept["opened"] == ""


@pytest.mark.parametrize("cut", [40, -3])
def test_a_broken_object_gives_what_it_holds_and_says_so(bucket, cut) -> None:
    whole = gzip.compress(b"\n".join(b"%09d" % (n * n) for n in range(1_000)))
    bucket.put(f"{ELB}_1.log.gz", whole[:cut])
    bucket.put(f"{ELB}_2.log", b"next")
    spool = bucket.round()
    (event,) = spool.events()
    assert event["action"] == "capture.unread"
    assert "ends early" in event["detail"]
    assert event["records"] == len(spool.records("aws-elb")) - 1
    assert spool.records("aws-elb")[-1] == b"next"
    assert bucket.round().events() == [event]


def test_a_bomb_costs_no_memory(bucket) -> None:
    bucket.put(f"{ELB}_1.log.gz", gzip.compress(bytes(40 << 20)))
    sizes = [len(one) for one in bucket.round().records("aws-elb")]
    assert sum(sizes) == 40 << 20
    assert max(sizes) <= s3.MAX_RECORD


def test_an_object_that_goes_away_is_told_of(bucket, monkeypatch) -> None:
    bucket.put(f"{ELB}_1.log", b"a")
    feed = bucket.feed()
    plain = feed._bucket.since

    def since(*args):
        found = plain(*args)
        bucket.s3.delete_object(Bucket=BUCKET, Key=f"{ELB}_1.log")
        return found

    monkeypatch.setattr(feed._bucket, "since", since)
    (event,) = bucket.round(feed).events()
    assert event["action"] == "capture.unread"


def test_a_bucket_that_is_not_there(bucket) -> None:
    with pytest.raises(AwsError, match="NoSuchBucket"):
        bucket.round(bucket.feed(bucket="other-bucket"))


# CloudTrail


@pytest.fixture
def trail():
    return Trail((NOW - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0))


@pytest.fixture
def follow(bucket, trail, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(public_keys()))

    def followed(**settings):
        bucket.upload(trail)
        feed = bucket.feed("cloudtrail", **{"digest_keys": keys, "late_days": 2, **settings})
        return bucket.round(feed)

    return followed


def outcomes(spool):
    return [one["action"].removeprefix("cloudtrail.") for one in spool.events()]


def test_records_are_cut_as_they_stand(bucket) -> None:
    records = [b'{"eventID": "1",  "a": "\\ud800"}', b'{"eventID":"2"}']
    key = f"AWSLogs/1/CloudTrail/r/{NOW:%Y/%m/%d}/1_CloudTrail_r_a.json.gz"
    bucket.put(key, gzip.compress(b'{"Records": [' + b",".join(records) + b"]}"))
    assert bucket.round(bucket.feed("cloudtrail")).records("cloudtrail") == records


def test_a_file_that_is_no_trail(bucket) -> None:
    bucket.put(f"AWSLogs/1/CloudTrail/r/{NOW:%Y/%m/%d}/a.json.gz", b"{}")
    (event,) = bucket.round(bucket.feed("cloudtrail")).events()
    assert "no CloudTrail file" in event["detail"]


def test_a_chain_that_holds(trail, follow) -> None:
    trail.deliver({"eventID": "1"}, {"eventID": "2"})
    trail.deliver({"eventID": "3"})
    first = trail.digest()
    spool = follow()
    trail.digest()  # nothing was delivered, and that is proven
    trail.deliver({"eventID": "4"})
    trail.digest()
    follow()
    assert len(spool.records("cloudtrail")) == 4
    assert outcomes(spool) == ["digest.verified"] * 3
    event, empty, last = spool.events()
    assert event["resource"] == f"s3://{BUCKET}/{first}"
    assert (event["files"], event["begins"], event["outcome"]) == (2, True, "success")
    assert (empty["files"], empty["begins"]) == (0, False)
    assert last["files"] == 1
    assert len(spool.records("json")) == 3
    assert follow().kept["pending"] == {}


def tampered(key, bucket, trail):
    """Another content in a log file."""
    bucket.put(key, gzip.compress(json.dumps({"Records": [{"eventID": "x"}]}).encode()))


def test_a_file_that_was_changed_before_it_was_captured(bucket, trail, follow) -> None:
    key = trail.deliver({"eventID": "1"})
    trail.digest()
    bucket.upload(trail)
    tampered(key, bucket, trail)
    (event,) = follow().events()
    assert event["action"] == "cloudtrail.digest.broken"
    assert f"{key} is not what was delivered" in event["detail"]


def test_a_file_that_is_missing(bucket, trail, follow) -> None:
    key = trail.deliver({"eventID": "1"})
    trail.digest()
    bucket.upload(trail)
    bucket.s3.delete_object(Bucket=BUCKET, Key=key)
    (event,) = follow().events()
    assert f"{key} is missing" in event["faults"][0]


def test_a_file_that_was_taken_away_after_it_was_captured_is_still_held(
    bucket, trail, follow
) -> None:
    key = trail.deliver({"eventID": "1"})
    spool = follow()
    bucket.s3.delete_object(Bucket=BUCKET, Key=key)
    trail.digest()
    follow()
    assert outcomes(spool) == ["digest.verified"]


def test_a_digest_that_was_changed(bucket, trail, follow) -> None:
    trail.deliver({"eventID": "1"})
    key = trail.digest()
    said = json.loads(gzip.decompress(trail.objects[key]))
    said["logFiles"] = []
    trail.objects[key] = gzip.compress(json.dumps(said).encode())
    (event,) = follow().events()
    assert event["faults"] == ["its signature is wrong"]


def test_a_digest_without_signature(bucket, trail, follow) -> None:
    trail.signatures.pop(trail.digest())
    assert follow().events()[0]["faults"] == ["its signature is wrong"]


def test_a_key_that_nobody_knows(trail, follow, monkeypatch) -> None:
    trail.digest(digestPublicKeyFingerprint="other")
    monkeypatch.setattr("muniment.capture.feeds.s3_trail.Keys._ask", lambda self, digest: None)
    assert "the public key other is not known" in follow().events()[0]["detail"]


def test_a_digest_that_was_taken_out_breaks_the_chain(trail, follow) -> None:
    first = trail.digest()
    spool = follow()
    del trail.objects[(gone := trail.digest())]
    trail.digest()
    follow()
    assert outcomes(spool) == ["digest.verified", "digest.broken"]
    detail = spool.events()[1]["detail"]
    assert gone in detail and first in detail


def test_a_chain_that_begins_anew(trail, follow) -> None:
    trail.digest()
    spool = follow()
    trail.last = None
    trail.digest()
    follow()
    assert "it begins a new chain" in spool.events()[1]["detail"]


def test_a_digest_that_was_moved(bucket, trail, follow) -> None:
    key = trail.digest()
    other = key.replace("_main_", "_other_")
    trail.objects[other] = trail.objects.pop(key)
    trail.signatures[other] = trail.signatures.pop(key)
    (event,) = follow().events()
    assert "it says that it is" in event["detail"]


def test_a_digest_that_is_no_digest(trail, follow) -> None:
    key = trail.digest()
    trail.objects[key] = gzip.compress(b'{"logFiles": 1}')
    (event,) = follow().events()
    assert event["action"] == "cloudtrail.digest.broken"


def test_a_file_that_no_digest_names(trail, follow, monkeypatch) -> None:
    key = trail.deliver({"eventID": "forged"})
    trail.files.clear()
    trail.digest()
    spool = follow()
    trail.now = NOW + timedelta(hours=3)
    trail.digest()
    follow()
    assert outcomes(spool) == ["digest.verified", "digest.verified", "file.without_digest"]
    assert spool.events()[-1]["resource"] == f"s3://{BUCKET}/{key}"


def test_digests_of_a_backfill_are_a_chain_of_their_own(trail, follow) -> None:
    key = trail.digest()
    spool = follow()
    trail.last = None
    other = trail.digest()
    moved = other.replace(".json.gz", "_backfill.json.gz")
    trail.objects[moved] = trail.objects.pop(other)
    trail.signatures[moved] = trail.signatures.pop(other)
    follow()
    assert key != other
    assert "begins a new chain" not in spool.events()[1].get("detail", "")


def test_a_crash_between_a_digest_and_its_verdict(bucket, trail, follow) -> None:
    trail.deliver({"eventID": "1"})
    trail.digest()
    bucket.spool.broken = 3
    with pytest.raises(OSError, match="cut off"):
        follow()
    spool = follow()
    assert [len(spool.records(kind)) for kind in ("cloudtrail", "json")] == [1, 1]
    assert outcomes(spool) == ["digest.verified"]


def test_digests_can_be_left_alone(trail, follow) -> None:
    trail.deliver({"eventID": "1"})
    trail.digest()
    spool = follow(digests=False)
    assert (spool.events(), spool.kept["pending"]) == ([], {})


# The position


def found(number, at):
    return Found(at, f"k{number}", "e")


def test_a_position_is_bounded_and_survives_json() -> None:
    position = Position(NOW - timedelta(days=1))
    for number in range(MAX_DONE + 10):
        position.finish(found(number, NOW + timedelta(milliseconds=number)))
    assert len(position.done) == MAX_DONE
    assert position.floor == NOW + timedelta(milliseconds=10)
    assert Position.from_json(json.loads(json.dumps(position.to_json()))) == position


def test_what_lags_behind_the_newest_object_is_forgotten() -> None:
    position = Position(NOW - timedelta(days=1))
    position.finish(found(1, NOW))
    position.finish(found(2, NOW + LAG))
    assert len(position.done) == 2
    position.finish(found(3, NOW + LAG + timedelta(seconds=1)))
    assert len(position.done) == 2
    assert position.floor == NOW + timedelta(seconds=1)
