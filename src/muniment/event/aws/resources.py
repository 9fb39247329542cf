"""Which resources an AWS API call was about: ARNs and names in its record, bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from muniment.event.objects import Object

MOST = 32
"""Resources of an event; `raw_data` has them all."""

_MOST_VALUES = 2_000
_ARN = re.compile(r"arn:[a-z-]+:(?P<service>[a-z0-9-]+):[^:]*:[^:]*:(?P<part>.{1,1024})", re.DOTALL)
_ELBV2 = "AWS::ElasticLoadBalancingV2"
_TYPES = {
    "elasticloadbalancing:loadbalancer": f"{_ELBV2}::LoadBalancer",
    "elasticloadbalancing:listener": f"{_ELBV2}::Listener",
    "elasticloadbalancing:listener-rule": f"{_ELBV2}::ListenerRule",
    "elasticloadbalancing:targetgroup": f"{_ELBV2}::TargetGroup",
    "elasticloadbalancing:truststore": f"{_ELBV2}::TrustStore",
    "acm:certificate": "AWS::CertificateManager::Certificate",
    "wafv2:regional": "AWS::WAFv2::WebACL",
    "wafv2:global": "AWS::WAFv2::WebACL",
    "autoscaling:autoScalingGroup": "AWS::AutoScaling::AutoScalingGroup",
    "ec2:instance": "AWS::EC2::Instance",
    "ec2:security-group": "AWS::EC2::SecurityGroup",
    "s3:": "AWS::S3::Bucket",
}
_NAMED = {
    "autoScalingGroupName": "AWS::AutoScaling::AutoScalingGroup",
    "loadBalancerName": "AWS::ElasticLoadBalancing::LoadBalancer",
    "instanceId": "AWS::EC2::Instance",
    "groupId": "AWS::EC2::SecurityGroup",
    "bucketName": "AWS::S3::Bucket",
}


def resources(event: Object) -> list[Object] | None:
    """Returns what a record says it was about, then what its request and its answer name.

    An ARN is the `uid`, and the end of it the `name`; `type` is AWS's name for the type, or what
    the ARN says of it. None where there is none.
    """
    found: dict[str, Object] = {}
    given = event.get("resources")
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict) and isinstance(arn := one.get("ARN") or one.get("arn"), str):
            kind = one.get("type")
            found.setdefault(arn, _named(arn, kind if isinstance(kind, str) else None))
    for name, value in _texts((event.get("requestParameters"), event.get("responseElements"))):
        if len(found) >= MOST:
            break
        if _ARN.fullmatch(value):
            found.setdefault(value, _named(value, None))
        elif name in _NAMED and len(value) <= 256 and not _has(found, value):
            found.setdefault(value, {"name": value, "type": _NAMED[name]})
    return list(found.values())[:MOST] or None


def _has(found: dict[str, Object], name: str) -> bool:
    return any(one.get("name") == name for one in found.values())


def _named(arn: str, kind: str | None) -> Object:
    found = _ARN.fullmatch(arn)
    if found is None:
        return {"uid": arn, "type": kind}
    part = found["part"]
    sort, slash, name = part.partition("/")
    if not slash:
        sort, _, name = part.rpartition(":")
    key = f"{found['service']}:{sort.partition(':')[0]}"
    if found["service"] == "s3" and slash:
        guess = "AWS::S3::Object"
    elif found["service"] == "elasticloadbalancing" and sort == "loadbalancer" and "/" not in name:
        guess = "AWS::ElasticLoadBalancing::LoadBalancer"
    else:
        guess = _TYPES.get(key, key.rstrip(":"))
    return {"uid": arn, "name": name, "type": kind or guess}


def _texts(roots: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Yields the texts below, each with the member it stands in; no more than _MOST_VALUES."""
    waiting: list[tuple[str, Any]] = [("", root) for root in reversed(roots)]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list):
            waiting += [(name, inner) for inner in reversed(value[:_MOST_VALUES])]
        elif isinstance(value, dict):
            waiting += [(key, inner) for key, inner in reversed(list(value.items())[:_MOST_VALUES])]
