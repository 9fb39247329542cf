"""What is kept of AWS's objects, under AWS's own names, so that the same always looks the same.

Sets are sorted, what stands twice is kept once, and what changes by itself is left out: times of
creation, DNS names, counts. Health is an object of its own beside the membership of a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from muniment.capture.redaction import Redact
from muniment.capture.snapshot import Json, Snapshot, State
from muniment.capture.systems.headers import without_secrets

Object = Mapping[str, Any]

_LOAD_BALANCER = (
    *("LoadBalancerName", "Type", "Scheme", "VpcId", "IpAddressType", "CustomerOwnedIpv4Pool"),
    *("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", "EnablePrefixForIpv6SourceNat"),
)
_LISTENER = ("LoadBalancerArn", "Port", "Protocol", "SslPolicy", "MutualAuthentication")
_TARGET_GROUP = (
    *("TargetGroupName", "Protocol", "Port", "VpcId", "TargetType", "ProtocolVersion"),
    *("IpAddressType", "HealthCheckProtocol", "HealthCheckPort", "HealthCheckEnabled"),
    *("HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds", "HealthyThresholdCount"),
    *("UnhealthyThresholdCount", "HealthCheckPath", "Matcher"),
)
_GROUP = (
    *("AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity", "DefaultCooldown"),
    *("HealthCheckType", "HealthCheckGracePeriod", "NewInstancesProtectedFromScaleIn"),
    *("LaunchConfigurationName", "LaunchTemplate", "MixedInstancesPolicy", "PlacementGroup"),
    *("MaxInstanceLifetime", "CapacityRebalance", "DefaultInstanceWarmup", "TerminationPolicies"),
)
_CERTIFICATE = (
    *("DomainName", "Serial", "Subject", "Issuer", "Status", "Type", "KeyAlgorithm"),
    *("SignatureAlgorithm", "NotBefore", "NotAfter", "FailureReason", "RevocationReason"),
    *("RenewalEligibility", "Options"),
)
_CLASSIC = ("LoadBalancerName", "Scheme", "VPCId", "HealthCheck")


def resource_part(arn: str) -> str:
    """Returns what of an ARN names the object: `app/shop/50dc6c495c0c9188`."""
    part = arn.split(":", 5)[-1]
    kind, slash, name = part.partition("/")
    return name if slash else kind.rpartition(":")[2]


def plain(value: Any) -> Json:
    """Returns a value of boto3's as JSON; times are RFC 3339."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


def ordered(values: Iterable[Any]) -> list[Json]:
    """Returns a set as a list that is always in the same order, without what stands twice."""
    found = {orjson.dumps(one := plain(v), option=orjson.OPT_SORT_KEYS): one for v in values}
    return [found[key] for key in sorted(found)]


def chosen(thing: Object, names: Sequence[str]) -> State:
    """Returns those members of an object that are there and not empty."""
    return {name: plain(thing[name]) for name in names if thing.get(name) not in (None, "", [], {})}


def attributes(listed: Iterable[Object]) -> State:
    """Returns AWS's pairs of Key and Value as an object."""
    return {str(one["Key"]): str(one.get("Value", "")) for one in listed}


def actions(listed: Iterable[Object]) -> list[Json]:
    """Returns actions in their order; a forward always has its groups, sorted, with weights."""
    given = sorted(listed, key=lambda one: int(one.get("Order") or 0))
    return [_action(one) for one in given]


def _action(action: Object) -> State:
    made = {k: plain(v) for k, v in action.items() if k not in ("TargetGroupArn", "ForwardConfig")}
    if action.get("Type") != "forward":
        return made
    forward = dict(action.get("ForwardConfig") or {})
    groups = forward.get("TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn")}]
    weighted = [{"Weight": 1, **group} for group in groups]
    config: State = {"TargetGroups": ordered(weighted)}
    stickiness = forward.get("TargetGroupStickinessConfig") or {}
    if stickiness.get("Enabled"):
        config["TargetGroupStickinessConfig"] = plain(stickiness)
    made["ForwardConfig"] = config
    return made


def conditions(listed: Iterable[Object]) -> list[Json]:
    """Returns conditions sorted, each with its values sorted and said once."""
    return ordered(_condition(one) for one in listed)


def _condition(condition: Object) -> State:
    made: State = {}
    configured = any(name.endswith("Config") for name in condition)
    for name, value in condition.items():
        if name == "Values" and configured:
            continue
        if name == "Values":
            made[name] = ordered(value)
        elif isinstance(value, Mapping):
            made[name] = {
                k: ordered(v) if isinstance(v, list) else plain(v) for k, v in value.items()
            }
        else:
            made[name] = plain(value)
    return made


def load_balancer(thing: Object, found: Iterable[Object]) -> State:
    """Returns the state of a load balancer and its attributes."""
    zones = thing.get("AvailabilityZones") or ()
    addresses = [a for zone in zones for a in zone.get("LoadBalancerAddresses") or ()]
    return {
        **chosen(thing, _LOAD_BALANCER),
        "State": plain((thing.get("State") or {}).get("Code") or ""),
        "Subnets": ordered(z["SubnetId"] for z in zones if z.get("SubnetId")),
        "SecurityGroups": ordered(thing.get("SecurityGroups") or ()),
        **({"Addresses": ordered(addresses)} if addresses else {}),
        "Attributes": attributes(found),
    }


def listener(thing: Object, certificates: Iterable[Object], found: Iterable[Object]) -> State:
    """Returns the state of a listener; `Certificates` has the default one first by name."""
    listed = list(certificates) or list(thing.get("Certificates") or ())
    default = [one for one in thing.get("Certificates") or () if one.get("CertificateArn")]
    arn = default[0]["CertificateArn"] if default else ""
    others = {one["CertificateArn"] for one in listed if one.get("CertificateArn")} - {arn}
    made = chosen(thing, _LISTENER)
    if thing.get("AlpnPolicy"):
        made["AlpnPolicy"] = ordered(thing["AlpnPolicy"])
    if arn:
        made |= {"DefaultCertificate": arn, "Certificates": sorted(others)}
    else:
        made.pop("SslPolicy", None)
    made["DefaultActions"] = actions(thing.get("DefaultActions") or ())
    kept = attributes(found)
    return made | ({"Attributes": kept} if kept else {})


def rule(thing: Object) -> State:
    """Returns the state of a listener's rule."""
    made: State = {
        "Priority": plain(thing.get("Priority") or ""),
        "Conditions": conditions(thing.get("Conditions") or ()),
        "Actions": actions(thing.get("Actions") or ()),
    }
    return made | ({"Transforms": ordered(thing["Transforms"])} if thing.get("Transforms") else {})


def target_group(thing: Object, found: Iterable[Object]) -> State:
    """Returns the state of a target group, without its targets."""
    return {
        **chosen(thing, _TARGET_GROUP),
        "LoadBalancerArns": ordered(thing.get("LoadBalancerArns") or ()),
        "Attributes": attributes(found),
    }


def scaling_group(thing: Object) -> State:
    """Returns the state of an auto-scaling group, without its instances."""
    suspended = (one.get("ProcessName") for one in thing.get("SuspendedProcesses") or ())
    subnets = str(thing.get("VPCZoneIdentifier") or "").replace(" ", "").split(",")
    return {
        **chosen(thing, _GROUP),
        "AvailabilityZones": ordered(thing.get("AvailabilityZones") or ()),
        "Subnets": ordered(one for one in subnets if one),
        "TargetGroupARNs": ordered(thing.get("TargetGroupARNs") or ()),
        "LoadBalancerNames": ordered(thing.get("LoadBalancerNames") or ()),
        "SuspendedProcesses": ordered(one for one in suspended if one),
    }


def scaling_instances(thing: Object) -> State:
    """Returns which instances a group has, and how they are."""
    names = ("InstanceId", "InstanceType", "AvailabilityZone", "LifecycleState", "HealthStatus")
    return {"Instances": ordered(chosen(one, names) for one in thing.get("Instances") or ())}


def certificate(thing: Object) -> State:
    """Returns what is public of a certificate, and which load balancers use it."""
    renewal = (thing.get("RenewalSummary") or {}).get("RenewalStatus")
    return {
        **chosen(thing, _CERTIFICATE),
        "SubjectAlternativeNames": ordered(thing.get("SubjectAlternativeNames") or ()),
        "InUseBy": ordered(thing.get("InUseBy") or ()),
        **({"RenewalStatus": plain(renewal)} if renewal else {}),
    }


def classic(thing: Object, found: Object, policies: Iterable[Object]) -> State:
    """Returns the state of a Classic Load Balancer with listeners, policies and instances."""
    listeners = [
        {**one.get("Listener", {}), "PolicyNames": ordered(one.get("PolicyNames") or ())}
        for one in thing.get("ListenerDescriptions") or ()
    ]
    backends = [
        {
            "InstancePort": one.get("InstancePort"),
            "PolicyNames": ordered(one.get("PolicyNames") or ()),
        }
        for one in thing.get("BackendServerDescriptions") or ()
    ]
    extra = found.get("AdditionalAttributes") or ()
    return {
        **chosen(thing, _CLASSIC),
        "AvailabilityZones": ordered(thing.get("AvailabilityZones") or ()),
        "Subnets": ordered(thing.get("Subnets") or ()),
        "SecurityGroups": ordered(thing.get("SecurityGroups") or ()),
        "Listeners": ordered(listeners),
        "BackendServers": ordered(backends),
        "Instances": ordered(i["InstanceId"] for i in thing.get("Instances") or ()),
        "Policies": {
            str(one["PolicyName"]): {
                "PolicyTypeName": plain(one.get("PolicyTypeName") or ""),
                "Attributes": {
                    str(a["AttributeName"]): str(a.get("AttributeValue", ""))
                    for a in one.get("PolicyAttributeDescriptions") or ()
                },
            }
            for one in policies
        },
        "Attributes": {
            **{k: plain(v) for k, v in found.items() if k != "AdditionalAttributes"},
            **({"AdditionalAttributes": attributes(extra)} if extra else {}),
        },
    }


def snapshot(
    state: State, redact: Redact, names: Sequence[str] = (), where: Mapping[str, str] | None = None
) -> Snapshot:
    """Returns the snapshot of a state, without the secrets that may stand in it."""
    kept, hidden = without_secrets(state, redact)
    assert isinstance(kept, dict)
    return Snapshot(kept, redacted=hidden, names=names, where=where or {})
