"""One look at a region: load balancers and all that hangs on them, as objects and snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from muniment.balancer.aws import Aws, AwsError
from muniment.capture.redaction import Redact
from muniment.capture.snapshot import ObjectName, Snapshot, State
from muniment.capture.systems import aws_objects as made
from muniment.errors import MunimentError

MAX_OBJECTS = 50_000
"""Objects of one scope; more is not a region that somebody meant to watch."""

Named = tuple[str, Snapshot]
Object = Mapping[str, Any]


class Look:
    """What is there now. Listings that several scopes need are asked for once.

    Each method yields the objects of one scope; `only` restricts it to one load balancer, target
    group or auto-scaling group by its name, for whoever wants a single object.
    """

    def __init__(self, api: Aws, instance: str, redact: Redact) -> None:
        self._api, self._instance, self._redact = api, instance, redact
        self._listed: dict[tuple[str, str], list[Object]] = {}

    def scopes(self) -> dict[str, Callable[[], Iterator[Named]]]:
        """Returns what can be looked at."""
        return {
            "load-balancers": self.load_balancers,
            "listeners": self.listeners,
            "rules": self.rules,
            "target-groups": self.target_groups,
            "targets": self.targets,
            "health": self.health,
            "classic": self.classic,
            "certificates": self.certificates,
            "auto-scaling": self.scaling_groups,
            "instances": self.scaling_instances,
            "waf": self.web_acls,
        }

    def load_balancers(self, only: str = "") -> Iterator[Named]:
        """Application, Network and Gateway Load Balancers with their attributes."""
        for one, found in self._each(self.balancers(only), self._balancer_attributes):
            arn = one["LoadBalancerArn"]
            state = made.load_balancer(one, found)
            yield self._named("load-balancer", arn, state, {"frontend": made.resource_part(arn)})

    def listeners(self, only: str = "") -> Iterator[Named]:
        """Listeners with their certificates, default actions and attributes."""
        for one, (certificates, found) in self._each(self._all_listeners(only), self._of_listener):
            arn = one["ListenerArn"]
            state = made.listener(one, certificates, found)
            yield self._named("listener", arn, state, _frontend(arn))

    def rules(self, only: str = "") -> Iterator[Named]:
        """Rules of listeners; the default rule is the listener's own default actions."""
        for _, listed in self._each(self._all_listeners(only), self._rules_of):
            for one in listed:
                if not one.get("IsDefault"):
                    arn = one["RuleArn"]
                    yield self._named("rule", arn, made.rule(one), _frontend(arn))

    def target_groups(self, only: str = "") -> Iterator[Named]:
        """Target groups with their attributes, without targets."""
        for one, found in self._each(self.groups(only), self._group_attributes):
            arn = one["TargetGroupArn"]
            state = made.target_group(one, found)
            yield self._named("target-group", arn, state, {"backend": one["TargetGroupName"]})

    def targets(self, only: str = "") -> Iterator[Named]:
        """Which targets a group has: what was registered, whether it is healthy or not."""
        for group, target, _ in self._targets(only):
            state = {"TargetGroupArn": group["TargetGroupArn"], **made.chosen(target, _TARGET)}
            yield self._target("target", group, target, state)

    def health(self, only: str = "") -> Iterator[Named]:
        """How each target is, as the load balancers find it."""
        for group, target, health in self._targets(only):
            yield self._target("target-health", group, target, made.chosen(health, _HEALTH))

    def classic(self, only: str = "") -> Iterator[Named]:
        """Classic Load Balancers with listeners, policies, instances and attributes."""
        names = {"LoadBalancerNames": [only]} if only else {}
        listed = self._listing(
            "elb", "describe_load_balancers", "LoadBalancerDescriptions", only, **names
        )
        for one, (found, policies) in self._each(listed, self._of_classic):
            name = one["LoadBalancerName"]
            state = made.classic(one, found, policies)
            yield self._called("classic-load-balancer", name, state, (), {"frontend": name})

    def certificates(self, only: str = "") -> Iterator[Named]:
        """Certificates of the certificate manager; never a key. `only` is an ARN's last part."""
        listed = self._listing(
            *("acm", "list_certificates", "CertificateSummaryList"), Includes={"keyTypes": _KEYS}
        )
        wanted = [one for one in listed if one["CertificateArn"].endswith(only)]
        for one, answer in self._each(wanted, self._certificate):
            yield self._named("certificate", one["CertificateArn"], made.certificate(answer))

    def scaling_groups(self, only: str = "") -> Iterator[Named]:
        """Auto-scaling groups: their bounds, what they launch and what they feed."""
        for one in self._scaling(only):
            name, arn = one["AutoScalingGroupName"], str(one.get("AutoScalingGroupARN") or "")
            yield self._called("auto-scaling-group", name, made.scaling_group(one), (arn,))

    def scaling_instances(self, only: str = "") -> Iterator[Named]:
        """The instances of auto-scaling groups."""
        for one in self._scaling(only):
            state = made.scaling_instances(one)
            yield self._called("auto-scaling-instances", one["AutoScalingGroupName"], state)

    def web_acls(self, only: str = "") -> Iterator[Named]:
        """Which web ACL stands before a load balancer."""
        alone = [one for one in self.balancers(only) if one.get("Type") == "application"]
        for one, answer in self._each(alone, self._web_acl):
            arn = one["LoadBalancerArn"]
            state = made.chosen(answer.get("WebACL") or {}, ("ARN", "Name", "Id"))
            where = {"frontend": made.resource_part(arn)}
            if not state:
                continue
            yield self._called("web-acl", made.resource_part(arn), state, (), where)

    def balancers(self, only: str = "") -> list[Object]:
        """Returns load balancers as AWS describes them."""
        names = {"Names": [only]} if only else {}
        return self._listing("elbv2", "describe_load_balancers", "LoadBalancers", only, **names)

    def groups(self, only: str = "") -> list[Object]:
        """Returns target groups as AWS describes them."""
        names = {"Names": [only]} if only else {}
        return self._listing("elbv2", "describe_target_groups", "TargetGroups", only, **names)

    def _all_listeners(self, only: str) -> list[Object]:
        found = self._each(self.balancers(only), self._listeners_of)
        return [one for _, listed in found for one in listed]

    def _listeners_of(self, balancer: Object) -> list[Object]:
        arn = balancer["LoadBalancerArn"]
        return self._listing("elbv2", "describe_listeners", "Listeners", arn, LoadBalancerArn=arn)

    def _rules_of(self, listener: Object) -> list[Object]:
        arn = listener["ListenerArn"]
        return self._listing("elbv2", "describe_rules", "Rules", arn, ListenerArn=arn)

    def _of_listener(self, listener: Object) -> tuple[list[Object], list[Object]]:
        arn = listener["ListenerArn"]
        certificates: list[Object] = []
        if listener.get("Certificates"):
            certificates = self._listing(
                *("elbv2", "describe_listener_certificates", "Certificates", arn), ListenerArn=arn
            )
        found = self._api.call("elbv2", "describe_listener_attributes", ListenerArn=arn)
        return certificates, list(found.get("Attributes") or ())

    def _balancer_attributes(self, balancer: Object) -> list[Object]:
        arn = balancer["LoadBalancerArn"]
        answer = self._api.call("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=arn)
        return list(answer.get("Attributes") or ())

    def _group_attributes(self, group: Object) -> list[Object]:
        arn = group["TargetGroupArn"]
        answer = self._api.call("elbv2", "describe_target_group_attributes", TargetGroupArn=arn)
        return list(answer.get("Attributes") or ())

    def _targets(self, only: str) -> Iterator[tuple[Object, Object, Object]]:
        for group, listed in self._each(self.groups(only), self._health_of):
            for one in listed:
                yield group, one["Target"], one.get("TargetHealth") or {}

    def _health_of(self, group: Object) -> list[Object]:
        arn = group["TargetGroupArn"]
        if ("describe_target_health", arn) not in self._listed:
            answer = self._api.call("elbv2", "describe_target_health", TargetGroupArn=arn)
            found = list(answer.get("TargetHealthDescriptions") or ())
            self._listed["describe_target_health", arn] = found
        return self._listed["describe_target_health", arn]

    def _of_classic(self, balancer: Object) -> tuple[Object, list[Object]]:
        name = {"LoadBalancerName": balancer["LoadBalancerName"]}
        found = self._api.call("elb", "describe_load_balancer_attributes", **name)
        policies = self._api.call("elb", "describe_load_balancer_policies", **name)
        return (
            found.get("LoadBalancerAttributes") or {},
            list(policies.get("PolicyDescriptions") or ()),
        )

    def _certificate(self, summary: Object) -> Object:
        arn = summary["CertificateArn"]
        answer = self._api.call("acm", "describe_certificate", CertificateArn=arn)
        found: Object = answer.get("Certificate") or {}
        return found

    def _web_acl(self, balancer: Object) -> Object:
        arn = balancer["LoadBalancerArn"]
        return self._api.call("wafv2", "get_web_acl_for_resource", ResourceArn=arn)

    def _scaling(self, only: str) -> list[Object]:
        names: dict[str, Any] = {"AutoScalingGroupNames": [only]} if only else {}
        return self._listing(
            *("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", only), **names
        )

    def _listing(
        self, service: str, operation: str, key: str, about: str = "", **parameters: Any
    ) -> list[Object]:
        place = (f"{service} {operation}", about)
        if place not in self._listed:
            found: list[Object] = []
            for one in self._api.items(service, operation, key, **parameters):
                if len(found) >= MAX_OBJECTS:
                    raise MunimentError(f"{service} {operation} tells of over {MAX_OBJECTS:,}")
                found.append(one)
            self._listed[place] = found
        return self._listed[place]

    def _each(
        self, things: list[Object], ask: Callable[[Object], Any]
    ) -> Iterator[tuple[Object, Any]]:
        """Yields each thing with what else is to be asked of it; one that is gone is left out."""
        for one in things:
            try:
                answer = ask(one)
            except AwsError as error:
                if not error.is_gone:
                    raise
                continue
            yield one, answer

    def _target(self, kind: str, group: Object, target: Object, state: State) -> Named:
        server = f"{target['Id']}:{target['Port']}" if target.get("Port") else str(target["Id"])
        name = f"{made.resource_part(group['TargetGroupArn'])}/{server}"
        where = {"backend": str(group["TargetGroupName"]), "server": server}
        return self._called(kind, name, state, (), where)

    def _named(
        self, kind: str, arn: str, state: State, where: Mapping[str, str] | None = None
    ) -> Named:
        return self._called(kind, made.resource_part(arn), state, (arn,), where)

    def _called(
        self,
        kind: str,
        name: str,
        state: State,
        names: tuple[str, ...] = (),
        where: Mapping[str, str] | None = None,
    ) -> Named:
        known = made.snapshot(state, self._redact, [one for one in names if one], where)
        return str(ObjectName("aws", self._instance, kind, name)), known


_TARGET = ("Id", "Port", "AvailabilityZone", "QuicServerId")
_HEALTH = ("State", "Reason")
_KEYS = [
    *("RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096"),
    *("EC_prime256v1", "EC_secp384r1", "EC_secp521r1"),
]


def _frontend(arn: str) -> dict[str, str]:
    """The load balancer that a listener or a rule is part of, as access logs name it."""
    return {"frontend": "/".join(made.resource_part(arn).split("/")[:3])}
