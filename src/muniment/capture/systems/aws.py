"""Watches the load balancers of an AWS region: listeners, rules, targets, certificates, scaling.

CloudWatch's RequestCount can be told as a counter. It is summed from the beginning of the month to
some minutes ago, for AWS delivers both the metric and the logs late; see `settings.counters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from muniment.balancer.aws import Access, Aws
from muniment.capture.port import Counter, Observation
from muniment.capture.redaction import Redact
from muniment.capture.section import Section, Watched
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.capture.systems.aws_look import Look
from muniment.capture.systems.aws_objects import resource_part
from muniment.clock import Clock, SystemClock, rfc3339
from muniment.errors import MunimentError

Part = Literal[
    "load-balancers",
    "listeners",
    "rules",
    "target-groups",
    "targets",
    "health",
    "classic",
    "certificates",
    "auto-scaling",
    "instances",
    "waf",
]
_USUAL: tuple[Part, ...] = (
    *("load-balancers", "listeners", "rules", "target-groups", "targets", "health"),
    *("classic", "certificates", "auto-scaling", "instances"),
)
_QUERIES = 100
"""Load balancers of one call of CloudWatch: two queries each, 500 is what a call may hold."""


class Reached(Section):
    """How AWS is reached; boto3 finds the credentials."""

    region: str = Field("", max_length=32, description="AWS region; else boto3's own setting.")
    role: str = Field("", max_length=512, description="ARN of a role to take.")
    external_id: str = Field("", max_length=1_224, description="External id of the role.")
    profile: str = Field("", max_length=128, description="Profile of the shared credentials.")
    endpoint: str = Field("", max_length=512, description="URL to use in place of AWS's own.")
    timeout: float = Field(10.0, ge=1, le=300, description="Seconds of one call.")

    def access(self) -> Access:
        """Returns how AWS is reached."""
        return Access(
            self.region, self.role, self.external_id, self.profile, self.endpoint, self.timeout
        )


class Settings(Reached, Watched):
    """A table `[[aws]]`: one region as one account sees it."""

    every: float = Field(60.0, ge=1, le=86_400, description="Seconds between looks.")
    look: tuple[Part, ...] = Field(_USUAL, min_length=1, description="What is looked at.")
    counters: bool = Field(False, description="Whether CloudWatch's RequestCount is captured.")
    counter_lag: float = Field(
        900.0, ge=120, le=86_400, description="Seconds that the metric and the logs may be late."
    )


def watchers(settings: Settings, redact: Redact) -> list[AwsWatcher]:
    """Returns the watcher of a section."""
    return [AwsWatcher(settings, redact)]


class AwsWatcher:
    """Looks at one region."""

    def __init__(self, settings: Settings, redact: Redact, clock: Clock | None = None) -> None:
        self._settings, self._redact = settings, redact
        self._clock = clock or SystemClock()
        self._api = Aws(settings.access())

    @property
    def name(self) -> str:
        """The system and the section."""
        return f"aws:{self._settings.name}"

    @property
    def every(self) -> float:
        """Seconds between looks."""
        return self._settings.every

    def observe(self) -> Iterable[Observation]:
        """Yields one observation a scope, in the order of the settings."""
        look = Look(self._api, self._settings.name, self._redact)
        scopes = look.scopes()
        for part in dict.fromkeys(self._settings.look):
            yield _observed(part, scopes[part]())
        if self._settings.counters:
            yield self._counted(look)

    def close(self) -> None:
        """Lets go of connections."""
        self._api.close()

    def _counted(self, look: Look) -> Observation:
        try:
            alone = [one for one in look.balancers() if one.get("Type") == "application"]
            until = self._clock.now().astimezone(UTC).replace(second=0, microsecond=0)
            until -= timedelta(minutes=-(-self._settings.counter_lag // 60))
            counters: list[Counter] = []
            for place in range(0, len(alone), _QUERIES):
                arns = [str(one["LoadBalancerArn"]) for one in alone[place : place + _QUERIES]]
                counters += request_counters(self._api, arns, until)
        except MunimentError as error:
            return Observation("counters", error=error.detail)
        return Observation("counters", counters=counters, counted=rfc3339(until))


def _observed(part: str, found: Iterator[tuple[str, Snapshot]]) -> Observation:
    try:
        objects: dict[str, Snapshot] = {}
        for name, snapshot in found:
            ObjectName.parse(name)
            objects[name] = snapshot
    except MunimentError as error:
        return Observation(part, error=error.detail)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Observation(part, error=f"AWS's answer cannot be read: {error!r}"[:500])
    return Observation(part, objects)


def request_counters(api: Aws, arns: list[str], until: datetime) -> list[Counter]:
    """Returns how many requests load balancers took to a target, from the month's first to `until`.

    `until` is a whole minute in UTC. Whole hours are summed by AWS, for its minutes are kept for 15
    days only. `match` finds the requests that RequestCount counts: those for which a target was
    chosen. Raises AwsError.
    """
    month = until.replace(day=1, hour=0, minute=0)
    hour = until.replace(minute=0)
    spans = [(start, end, period) for start, end, period in (
        (month, hour, 3_600), (hour, until, 60)) if start < end]  # fmt: skip
    sums = dict.fromkeys(arns, 0.0)
    for start, end, period in spans:
        queries = [_query(f"q{number}", arn, period) for number, arn in enumerate(arns)]
        results = api.items(
            *("cloudwatch", "get_metric_data", "MetricDataResults"),
            MetricDataQueries=queries,
            StartTime=start,
            EndTime=end,
        )
        for one in results:
            sums[arns[int(one["Id"][1:])]] += sum(one.get("Values") or ())
    epoch = month.strftime("%Y-%m")
    return [_counter(resource_part(arn), round(total), epoch) for arn, total in sums.items()]


def _query(name: str, arn: str, period: int) -> Mapping[str, Any]:
    metric = {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "RequestCount",
        "Dimensions": [{"Name": "LoadBalancer", "Value": resource_part(arn)}],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}


def _counter(name: str, served: int, epoch: str) -> Counter:
    match = f'frontend:"{name}" load_balancer.dst_endpoint.ip:*'
    return Counter(name, served, epoch, match)
