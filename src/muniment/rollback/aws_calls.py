"""Which calls make one of AWS's objects what it was: pure, out of two states.

A call is the service, the operation, its parameters, and the parameters (None: there are none) and
the operation that take it back. Members that only AWS sets are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from muniment.capture.snapshot import Json, State

Parameters: TypeAlias = "Mapping[str, Json]"
Call: TypeAlias = "tuple[str, str, Parameters, Parameters | None, str]"

_BOUNDS = (
    *("MinSize", "MaxSize", "DesiredCapacity", "DefaultCooldown", "HealthCheckType"),
    *("HealthCheckGracePeriod", "NewInstancesProtectedFromScaleIn", "TerminationPolicies"),
    *("CapacityRebalance", "MaxInstanceLifetime"),
)
_CHECK = (
    *("HealthCheckProtocol", "HealthCheckPort", "HealthCheckPath", "HealthCheckEnabled"),
    *("HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds", "HealthyThresholdCount"),
    *("UnhealthyThresholdCount", "Matcher"),
)
_LISTENER = ("Port", "Protocol", "SslPolicy", "AlpnPolicy", "MutualAuthentication")
_MUTUAL = ("Mode", "TrustStoreArn", "IgnoreClientCertificateExpiry", "AdvertiseTrustStoreCaNames")

_SETTABLE = {
    "listener": (*_LISTENER, "DefaultCertificate", "Certificates", "DefaultActions", "Attributes"),
    "rule": ("Conditions", "Actions", "Transforms", "Priority"),
    "target-group": (*_CHECK, "Attributes"),
    "load-balancer": ("SecurityGroups", "IpAddressType", "Attributes"),
    "auto-scaling-group": _BOUNDS,
}
_DERIVED = ("State", "LoadBalancerArns", "Addresses")


def calls(kind: str, arn: str, live: State, wanted: State) -> Iterator[Call]:
    """Yields the calls for an object of a kind, which must be one of KINDS."""
    return _MAKERS[kind](arn, live, wanted)


def fixed(kind: str, live: State, wanted: State) -> list[str]:
    """Returns the members that differ and that no call sets."""
    others = [one for one in wanted if one not in (*_SETTABLE[kind], *_DERIVED)]
    return _differ(live, wanted, others)


def registration(target: State) -> dict[str, Json]:
    """Returns the parameters that register, or take away, a target."""
    described = {k: v for k, v in target.items() if k != "TargetGroupArn"}
    return {"TargetGroupArn": target["TargetGroupArn"], "Targets": [described]}


def _differ(live: State, wanted: State, names: Sequence[str]) -> list[str]:
    return [one for one in names if one in wanted and live.get(one) != wanted[one]]


def _modify(
    operation: str, key: Mapping[str, Json], changed: list[str], live: State, wanted: State
) -> Iterator[Call]:
    """One call of `elbv2` that sets members under their own names, where any differ."""
    if changed:
        new = {**key, **{one: _settable(one, wanted[one]) for one in changed}}
        old = {**key, **{one: _settable(one, live[one]) for one in changed if one in live}}
        yield "elbv2", operation, new, old, operation


def _settable(name: str, value: Json) -> Json:
    if name == "MutualAuthentication" and isinstance(value, dict):
        return {k: v for k, v in value.items() if k in _MUTUAL}
    return value


def _attributes(
    operation: str, key: Mapping[str, Json], live: State, wanted: State
) -> Iterator[Call]:
    """One call that sets attributes that differ; one that was not there before stays as it is."""
    have, want = live.get("Attributes"), wanted.get("Attributes")
    have, want = (one if isinstance(one, dict) else {} for one in (have, want))
    changed = sorted(one for one in want if have.get(one) != want[one])
    if changed:
        new: list[Json] = [{"Key": one, "Value": want[one]} for one in changed]
        old: list[Json] = [{"Key": one, "Value": have[one]} for one in changed if one in have]
        back = {**key, "Attributes": old} if len(old) == len(new) else None
        yield "elbv2", operation, {**key, "Attributes": new}, back, operation


def _listener(arn: str, live: State, wanted: State) -> Iterator[Call]:
    """Yields the calls for a listener: itself, its further certificates, its attributes."""
    key: dict[str, Json] = {"ListenerArn": arn}
    new: dict[str, Json] = dict(key)
    old: dict[str, Json] = dict(key)
    for one in _differ(live, wanted, _LISTENER):
        new[one] = _settable(one, wanted[one])
        if one in live:
            old[one] = _settable(one, live[one])
    if _differ(live, wanted, ("DefaultCertificate",)):
        new["Certificates"] = [{"CertificateArn": wanted["DefaultCertificate"]}]
        if live.get("DefaultCertificate"):
            old["Certificates"] = [{"CertificateArn": live["DefaultCertificate"]}]
    if _differ(live, wanted, ("DefaultActions",)):
        new["DefaultActions"] = _actions(wanted["DefaultActions"])
        old["DefaultActions"] = _actions(live.get("DefaultActions"))
    if len(new) > 1:
        yield "elbv2", "modify_listener", new, old, "modify_listener"
    yield from _certificates(key, live, wanted)
    yield from _attributes("modify_listener_attributes", key, live, wanted)


def _certificates(key: Mapping[str, Json], live: State, wanted: State) -> Iterator[Call]:
    have, want = (
        {str(arn) for arn in one} if isinstance(one, list) else set()
        for one in (live.get("Certificates"), wanted.get("Certificates"))
    )
    add, remove = "add_listener_certificates", "remove_listener_certificates"
    # What was the default before is not among the others when it is removed.
    surplus = have - want - {str(wanted.get("DefaultCertificate"))}
    for missing, act, back in ((want - have, add, remove), (surplus, remove, add)):
        if missing:
            listed: list[Json] = [{"CertificateArn": arn} for arn in sorted(missing)]
            call = {**key, "Certificates": listed}
            yield "elbv2", act, call, call, back


def _actions(listed: Json) -> list[Json]:
    """Actions as they can be set: a secret of an identity provider stays what it is."""
    made: list[Json] = []
    for one in listed if isinstance(listed, list) else []:
        action = dict(one) if isinstance(one, dict) else {}
        provider = action.get("AuthenticateOidcConfig")
        if isinstance(provider, dict):
            action["AuthenticateOidcConfig"] = {**provider, "UseExistingClientSecret": True}
        made.append(action)
    return made


def _rule(arn: str, live: State, wanted: State) -> Iterator[Call]:
    """Yields the calls for a rule: conditions, actions and transforms, then the priority."""
    key: dict[str, Json] = {"RuleArn": arn}
    new, old = dict(key), dict(key)
    for one in _differ(live, wanted, ("Conditions", "Actions", "Transforms")):
        new[one] = _actions(wanted[one]) if one == "Actions" else wanted[one]
        old[one] = _actions(live.get(one)) if one == "Actions" else live.get(one, [])
    if live.get("Transforms") and not wanted.get("Transforms"):
        new["ResetTransforms"], old["Transforms"] = True, live["Transforms"]
    elif "Transforms" in new and not live.get("Transforms"):
        del old["Transforms"]
        old["ResetTransforms"] = True
    if len(new) > 1:
        yield "elbv2", "modify_rule", new, old, "modify_rule"
    if _differ(live, wanted, ("Priority",)):
        after, before = _priority(arn, wanted), _priority(arn, live)
        yield "elbv2", "set_rule_priorities", after, before, "set_rule_priorities"


def _priority(arn: str, state: State) -> dict[str, Json]:
    return {"RulePriorities": [{"RuleArn": arn, "Priority": int(str(state["Priority"]))}]}


def _target_group(arn: str, live: State, wanted: State) -> Iterator[Call]:
    """Yields the calls for a target group: the health check, the attributes."""
    key: dict[str, Json] = {"TargetGroupArn": arn}
    yield from _modify("modify_target_group", key, _differ(live, wanted, _CHECK), live, wanted)
    yield from _attributes("modify_target_group_attributes", key, live, wanted)


def _load_balancer(arn: str, live: State, wanted: State) -> Iterator[Call]:
    """Yields the calls for a load balancer: security groups, addresses, attributes."""
    key: dict[str, Json] = {"LoadBalancerArn": arn}
    for member, operation in (
        ("SecurityGroups", "set_security_groups"),
        ("IpAddressType", "set_ip_address_type"),
    ):
        yield from _modify(operation, key, _differ(live, wanted, (member,)), live, wanted)
    yield from _attributes("modify_load_balancer_attributes", key, live, wanted)


def _scaling_group(arn: str, live: State, wanted: State) -> Iterator[Call]:  # noqa: ARG001
    """Yields the call for the bounds and plain settings of an auto-scaling group."""
    changed = _differ(live, wanted, _BOUNDS)
    if changed:
        key = {"AutoScalingGroupName": live["AutoScalingGroupName"]}
        new = {**key, **{one: wanted[one] for one in changed}}
        old = {**key, **{one: live[one] for one in changed if one in live}}
        update = "update_auto_scaling_group"
        yield "autoscaling", update, new, old, update


_MAKERS = {
    "listener": _listener,
    "rule": _rule,
    "target-group": _target_group,
    "load-balancer": _load_balancer,
    "auto-scaling-group": _scaling_group,
}
KINDS = tuple(_MAKERS)
