"""The watcher of AWS against moto.

moto answers from memory at once: it shows neither throttling nor the time that AWS takes until a
change is seen everywhere, and its targets are healthy as soon as they are registered.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("boto3")
pytest.importorskip("moto")

from tests.moto_region import REGION, client, region

from muniment.balancer.aws import Access, Aws, AwsError
from muniment.capture.change import change
from muniment.capture.redaction import redactor
from muniment.capture.systems.aws import AwsWatcher, Settings, request_counters
from muniment.capture.systems.aws_objects import actions, conditions, resource_part

REDACT = redactor(bytes(32))


@pytest.fixture
def here(monkeypatch):
    with region(monkeypatch) as made:
        yield made


def watcher(**settings):
    return AwsWatcher(Settings(name="prod", region=REGION, **settings), REDACT)


def seen(one=None):
    """All objects, none of which must be an error."""
    found = {}
    for observation in (one or watcher()).observe():
        assert not observation.error, observation
        found.update(observation.objects)
    return found


def changes(before, after):
    """The change events between two looks, by object without the system and instance."""
    events = {}
    for name in before.keys() | after.keys():
        event = change(name, before.get(name), after.get(name), time="t2", since="t1")
        if event is not None:
            events[name.partition("/")[2]] = event
    return events


def test_what_is_seen_of_a_region(here) -> None:
    here.scaling_group()
    here.classic()
    objects = seen()
    kinds = {name.split("/")[1] for name in objects}
    assert kinds == {
        *("load-balancer", "listener", "rule", "target-group", "target", "target-health"),
        *("classic-load-balancer", "certificate", "auto-scaling-group", "auto-scaling-instances"),
    }
    balancer = resource_part(here.balancer)
    listener = objects[f"aws:prod/listener/{resource_part(here.listener)}"]
    assert listener.names == [here.listener]
    assert listener.where == {"frontend": balancer}
    assert listener.state["Port"] == 443
    assert listener.state["DefaultCertificate"] == here.certificate
    assert listener.state["DefaultActions"] == [
        {
            "Type": "forward",
            "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": here.blue, "Weight": 1}]},
        }
    ]
    rule = objects[f"aws:prod/rule/{resource_part(here.rule)}"]
    assert rule.state["Conditions"][0]["PathPatternConfig"]["Values"] == ["/a", "/b"]
    target = objects[f"aws:prod/target/{resource_part(here.blue)}/10.0.0.5:80"]
    assert target.where == {"backend": "blue", "server": "10.0.0.5:80"}
    health = objects[f"aws:prod/target-health/{resource_part(here.blue)}/10.0.0.5:80"]
    assert health.state == {"State": "healthy"}
    group = objects["aws:prod/auto-scaling-group/web"]
    assert (group.state["MinSize"], group.state["MaxSize"]) == (1, 4)
    assert (
        objects["aws:prod/classic-load-balancer/old"].state["Listeners"][0]["InstancePort"] == 8080
    )
    assert "PrivateKey" not in str(objects)


def test_nothing_changes_between_looks(here) -> None:
    here.scaling_group()
    here.classic()
    one = watcher()
    assert changes(seen(one), seen(one)) == {}


def test_each_change_is_one_event_with_before_and_after(here) -> None:
    before = seen()
    here.elb.modify_listener(
        ListenerArn=here.listener,
        DefaultActions=[
            {
                "Type": "forward",
                "ForwardConfig": {
                    "TargetGroups": [
                        {"TargetGroupArn": here.green, "Weight": 9},
                        {"TargetGroupArn": here.blue, "Weight": 1},
                    ]
                },
            }
        ],
    )
    events = changes(before, seen())
    (name,) = [one for one in events if one.startswith("listener/")]
    assert events[name]["change"] == "update"
    assert [one["path"] for one in events[name]["fields"]] == [
        "/DefaultActions/0/ForwardConfig/TargetGroups"
    ]
    # That a group is used by a load balancer now is a fact of the group as well.
    assert set(events) <= {name, f"target-group/{resource_part(here.green)}"}


def test_targets_attributes_and_bounds(here) -> None:
    scaling = here.scaling_group()
    before = seen()
    here.elb.register_targets(TargetGroupArn=here.green, Targets=[{"Id": "10.0.0.6", "Port": 81}])
    here.elb.deregister_targets(TargetGroupArn=here.blue, Targets=[{"Id": "10.0.0.5", "Port": 80}])
    here.elb.modify_load_balancer_attributes(
        LoadBalancerArn=here.balancer,
        Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "17"}],
    )
    scaling.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=9)
    events = changes(before, seen())
    blue, green = resource_part(here.blue), resource_part(here.green)
    assert events[f"target/{green}/10.0.0.6:81"]["change"] == "create"
    assert events[f"target/{blue}/10.0.0.5:80"]["change"] == "delete"
    (field,) = events["auto-scaling-group/web"]["fields"]
    assert field == {"path": "/MaxSize", "before": 4, "after": 9}
    (field,) = events[f"load-balancer/{resource_part(here.balancer)}"]["fields"]
    assert field == {"path": "/Attributes/idle_timeout.timeout_seconds", "after": "17"}


def test_many_pages(here) -> None:
    scaling = here.scaling_group()
    for number in range(60):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=f"g{number}",
            LaunchConfigurationName="lc",
            MinSize=0,
            MaxSize=0,
            VPCZoneIdentifier=here.subnets[0],
        )
    (observation,) = watcher(look=["auto-scaling"]).observe()
    assert len(observation.objects) == 61


def test_what_cannot_be_seen_is_an_error_of_its_scope_alone(here, monkeypatch) -> None:
    one = watcher(look=["load-balancers", "certificates"])
    plain = Aws.items

    def items(self, service, operation, key, **parameters):
        if service == "acm":
            raise AwsError("acm list_certificates: AccessDenied: no", "AccessDenied")
        return plain(self, service, operation, key, **parameters)

    monkeypatch.setattr(Aws, "items", items)
    balancers, certificates = one.observe()
    assert balancers.objects and not balancers.error
    assert "AccessDenied" in certificates.error and not certificates.objects


def test_a_load_balancer_that_goes_away_during_a_look_is_left_out(here, monkeypatch) -> None:
    plain = Aws.call

    def call(self, service, operation, **parameters):
        if operation == "describe_load_balancer_attributes":
            raise AwsError("gone", "LoadBalancerNotFound")
        return plain(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    (observation,) = watcher(look=["load-balancers"]).observe()
    assert (observation.error, observation.objects) == ("", {})


def test_an_error_of_aws_has_its_code(here) -> None:
    with pytest.raises(AwsError) as caught:
        Aws(Access(REGION)).call("elbv2", "describe_rules", ListenerArn="arn:aws:none")
    assert caught.value.code
    assert "elbv2 describe_rules" in caught.value.detail


def test_a_role_is_taken(here) -> None:
    one = watcher(role="arn:aws:iam::123456789012:role/muniment", look=["load-balancers"])
    assert len(seen(one)) == 1
    one.close()


def test_requests_that_cloudwatch_counted(here) -> None:
    until = datetime.now(UTC).replace(second=0, microsecond=0)
    cloudwatch = client("cloudwatch")
    dimensions = [{"Name": "LoadBalancer", "Value": resource_part(here.balancer)}]
    month = until.replace(day=1, hour=0, minute=0)
    hour = until.replace(minute=0)
    times = [month, hour - timedelta(minutes=1), hour, until - timedelta(minutes=1)]
    expected = sum(month <= moment < until for moment in times)
    for moment in [*times, until, month - timedelta(minutes=1)]:
        cloudwatch.put_metric_data(
            Namespace="AWS/ApplicationELB",
            MetricData=[
                {
                    "MetricName": "RequestCount",
                    "Dimensions": dimensions,
                    "Timestamp": moment,
                    "Value": 1,
                }
            ],
        )
    (counter,) = request_counters(Aws(Access(REGION)), [here.balancer], until)
    assert counter.name == resource_part(here.balancer)
    assert counter.served == expected
    assert counter.epoch == month.strftime("%Y-%m")
    assert counter.match.startswith(f'frontend:"{counter.name}" ')


def test_counters_are_of_a_time_before_the_look(here) -> None:
    *_, observation = watcher(look=["load-balancers"], counters=True).observe()
    assert observation.counters[0].served == 0
    age = datetime.now(UTC) - datetime.fromisoformat(observation.counted)
    assert timedelta(minutes=15) <= age < timedelta(minutes=17)


@pytest.mark.parametrize(
    ("arn", "part"),
    [
        ("arn:aws:elasticloadbalancing:r:1:loadbalancer/app/shop/50dc", "app/shop/50dc"),
        ("arn:aws:acm:r:1:certificate/1-2", "1-2"),
        ("arn:aws:autoscaling:r:1:autoScalingGroup:u-1:autoScalingGroupName/web", "web"),
    ],
)
def test_the_part_of_an_arn_that_names(arn, part) -> None:
    assert resource_part(arn) == part


def test_the_same_actions_look_the_same_however_they_are_told() -> None:
    groups = [{"TargetGroupArn": "b", "Weight": 1}, {"TargetGroupArn": "a"}]
    told = [
        [
            {"Type": "forward", "Order": 2, "ForwardConfig": {"TargetGroups": groups}},
            {"Type": "authenticate-oidc", "Order": 1},
        ],
        [
            {"Type": "authenticate-oidc", "Order": 1},
            {
                "Type": "forward",
                "Order": 2,
                "TargetGroupArn": "b",
                "ForwardConfig": {
                    "TargetGroups": groups[::-1],
                    "TargetGroupStickinessConfig": {"Enabled": False},
                },
            },
        ],
    ]
    assert actions(told[0]) == actions(told[1])


def test_conditions_are_told_once() -> None:
    told = {"Field": "host-header", "Values": ["b", "a"]}
    new = {**told, "HostHeaderConfig": {"Values": ["b", "a", "a"]}}
    assert conditions([new]) == [
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["a", "b"]}}
    ]
    assert conditions([told]) == [{"Field": "host-header", "Values": ["a", "b"]}]


def test_the_match_of_a_counter_is_a_query() -> None:
    from muniment.capture.systems.aws import _counter
    from muniment.query.condition import check
    from muniment.query.parser import parse

    check(parse(_counter("app/shop/50dc6c495c0c9188", 1, "2026-11").match))
