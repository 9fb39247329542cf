"""AWS's objects put back, against moto.

moto does not check all that AWS checks (a target group of another protocol, a certificate of
another region), and shows at once what AWS may take seconds to show.
"""

from __future__ import annotations

import pytest

pytest.importorskip("boto3")
pytest.importorskip("moto")

from tests.moto_region import REGION, client, region

from muniment.balancer.aws import Aws, AwsError
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName
from muniment.capture.systems.aws import Settings
from muniment.capture.systems.aws_objects import resource_part
from muniment.rollback.aws import AwsApplier
from muniment.rollback.port import ApplyFailed, CannotRollBack


@pytest.fixture
def here(monkeypatch):
    with region(monkeypatch) as made:
        yield made


@pytest.fixture
def applier(here):
    made = AwsApplier(Settings(name="prod", region=REGION), redactor(bytes(32)), lambda _: None)
    yield made
    made.close()


def named(kind, arn):
    return ObjectName("aws", "prod", kind, resource_part(arn))


def put_back(applier, name, wanted):
    """Plans and applies; afterwards nothing is left to do."""
    steps = applier.plan(name, applier.live(name), wanted)
    answers = applier.apply(steps)
    assert len(answers) == len(steps)
    assert applier.plan(name, applier.live(name), wanted) == []
    return [step.does.split(" --cli")[0] for step in steps]


def forward(*pairs):
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in pairs]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]


def test_nothing_to_do_needs_no_call(here, applier) -> None:
    for kind, arn in (
        ("listener", here.listener),
        ("rule", here.rule),
        ("load-balancer", here.balancer),
    ):
        name = named(kind, arn)
        live = applier.live(name)
        assert applier.plan(name, live, live.state) == []


def test_weights_of_a_listener(here, applier) -> None:
    name = named("listener", here.listener)
    before = applier.live(name)
    here.elb.modify_listener(
        ListenerArn=here.listener, DefaultActions=forward((here.green, 9), (here.blue, 1))
    )
    assert put_back(applier, name, before.state) == ["aws elbv2 modify-listener"]
    assert applier.live(name).version == before.version


def test_certificates_of_a_listener(here, applier) -> None:
    name = named("listener", here.listener)
    before = applier.live(name)
    acm = client("acm")
    arns = [acm.request_certificate(DomainName=f"{n}.example")["CertificateArn"] for n in "ab"]
    here.elb.modify_listener(ListenerArn=here.listener, Certificates=[{"CertificateArn": arns[0]}])
    here.elb.add_listener_certificates(
        ListenerArn=here.listener, Certificates=[{"CertificateArn": arns[1]}]
    )
    assert "aws elbv2 modify-listener" in put_back(applier, name, before.state)
    after = applier.live(name).state
    assert after["DefaultCertificate"] == here.certificate
    assert arns[1] not in after["Certificates"]


def test_conditions_actions_and_priority_of_a_rule(here, applier) -> None:
    name = named("rule", here.rule)
    before = applier.live(name)
    here.elb.modify_rule(
        RuleArn=here.rule,
        Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/x"]}}],
        Actions=forward((here.green, 1)),
    )
    here.elb.set_rule_priorities(RulePriorities=[{"RuleArn": here.rule, "Priority": 77}])
    assert put_back(applier, name, before.state) == [
        "aws elbv2 modify-rule",
        "aws elbv2 set-rule-priorities",
    ]
    assert applier.live(name).version == before.version


def test_a_priority_that_another_rule_has_now(here, applier) -> None:
    name = named("rule", here.rule)
    before = applier.live(name).state
    here.elb.set_rule_priorities(RulePriorities=[{"RuleArn": here.rule, "Priority": 77}])
    here.elb.create_rule(
        ListenerArn=here.listener,
        Priority=10,
        Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/y"]}}],
        Actions=forward((here.blue, 1)),
    )
    with pytest.raises(CannotRollBack, match="has the priority 10 now"):
        applier.plan(name, applier.live(name), before)


def test_a_rule_that_was_not_there_is_deleted(here, applier) -> None:
    name = named("rule", here.rule)
    assert put_back(applier, name, None) == ["aws elbv2 delete-rule"]
    assert applier.live(name) is None


def test_target_groups_and_load_balancers(here, applier) -> None:
    group, balancer = named("target-group", here.blue), named("load-balancer", here.balancer)
    wanted = applier.live(group).state
    here.elb.modify_target_group(TargetGroupArn=here.blue, HealthCheckPath="/other")
    here.elb.modify_target_group_attributes(
        TargetGroupArn=here.blue,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "7"}],
    )
    assert put_back(applier, group, wanted) == [
        "aws elbv2 modify-target-group",
        "aws elbv2 modify-target-group-attributes",
    ]
    wanted = applier.live(balancer).state
    here.elb.modify_load_balancer_attributes(
        LoadBalancerArn=here.balancer,
        Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}],
    )
    assert put_back(applier, balancer, wanted) == ["aws elbv2 modify-load-balancer-attributes"]


def test_targets_are_registered_again_and_taken_away(here, applier) -> None:
    name = ObjectName("aws", "prod", "target", f"{resource_part(here.blue)}/10.0.0.5:80")
    wanted = applier.live(name).state
    target = [{"Id": "10.0.0.5", "Port": 80}]
    here.elb.deregister_targets(TargetGroupArn=here.blue, Targets=target)
    assert applier.live(name) is None
    assert put_back(applier, name, wanted) == ["aws elbv2 register-targets"]
    assert put_back(applier, name, None) == ["aws elbv2 deregister-targets"]


def test_bounds_of_an_auto_scaling_group(here, applier) -> None:
    scaling = here.scaling_group()
    name = ObjectName("aws", "prod", "auto-scaling-group", "web")
    before = applier.live(name)
    scaling.update_auto_scaling_group(
        AutoScalingGroupName="web", MinSize=0, MaxSize=9, DesiredCapacity=5
    )
    assert put_back(applier, name, before.state) == ["aws autoscaling update-auto-scaling-group"]
    assert applier.live(name).version == before.version


def test_what_cannot_be_put_back(here, applier) -> None:
    name = named("listener", here.listener)
    live = applier.live(name)
    here.elb.delete_listener(ListenerArn=here.listener)
    with pytest.raises(CannotRollBack, match="another ARN"):
        applier.plan(name, applier.live(name), live.state)
    with pytest.raises(CannotRollBack, match="left to people"):
        applier.plan(name, live, None)
    with pytest.raises(CannotRollBack, match="only looked at"):
        applier.live(ObjectName("aws", "prod", "certificate", "1"))
    with pytest.raises(CannotRollBack, match="secrets"):
        applier.plan(name, live, {"ClientSecret": "[redacted 0123456789abcdef]"})


def test_what_no_call_sets_keeps_the_rest_from_being_set(here, applier) -> None:
    name = named("target-group", here.blue)
    live = applier.live(name)
    wanted = {**live.state, "Port": 81, "HealthCheckPath": "/x", "LoadBalancerArns": []}
    with pytest.raises(CannotRollBack, match=r"cannot be set: Port$"):
        applier.plan(name, live, wanted)


def test_a_load_balancer_that_is_gone(here, applier) -> None:
    name = named("load-balancer", here.balancer)
    here.elb.delete_load_balancer(LoadBalancerArn=here.balancer)
    assert applier.live(name) is None


def test_a_step_that_fails_takes_back_those_before_it(here, applier, monkeypatch) -> None:
    name = named("rule", here.rule)
    wanted = {**applier.live(name).state, "Priority": "5", "Actions": forward((here.green, 1))}
    before = applier.live(name)
    plain = Aws.call

    def call(self, service, operation, **parameters):
        if operation == "set_rule_priorities":
            raise AwsError("elbv2 set_rule_priorities: AccessDenied: no", "AccessDenied")
        return plain(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    with pytest.raises(ApplyFailed, match="what was done before was taken back"):
        applier.apply(applier.plan(name, before, wanted))
    assert applier.live(name).version == before.version
