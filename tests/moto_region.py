"""A region in moto: an application load balancer with two target groups, and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

REGION = "eu-central-1"


def client(service: str) -> Any:
    return boto3.client(
        service, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
    )


class Region:
    """What was made, by name."""

    def __init__(self) -> None:
        ec2 = client("ec2")
        self.elb = client("elbv2")
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
        balancers = self.elb.create_load_balancer(Name="shop", Subnets=self.subnets)
        self.balancer = balancers["LoadBalancers"][0]["LoadBalancerArn"]
        self.blue, self.green = self.group("blue"), self.group("green")
        self.certificate = client("acm").request_certificate(DomainName="shop.example")[
            "CertificateArn"
        ]
        listeners = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": self.certificate}],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.blue}],
        )
        self.listener = listeners["Listeners"][0]["ListenerArn"]
        rules = self.elb.create_rule(
            ListenerArn=self.listener,
            Priority=10,
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/b", "/a"]}}],
            Actions=[{"Type": "forward", "TargetGroupArn": self.blue}],
        )
        self.rule = rules["Rules"][0]["RuleArn"]
        self.elb.register_targets(
            TargetGroupArn=self.blue, Targets=[{"Id": "10.0.0.5", "Port": 80}]
        )

    def group(self, name: str) -> str:
        made = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="ip"
        )
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        return arn

    def scaling_group(self) -> Any:
        scaling = client("autoscaling")
        image = client("ec2").describe_images()["Images"][0]["ImageId"]
        scaling.create_launch_configuration(
            LaunchConfigurationName="lc", ImageId=image, InstanceType="t3.micro"
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="web",
            LaunchConfigurationName="lc",
            MinSize=1,
            MaxSize=4,
            DesiredCapacity=2,
            VPCZoneIdentifier=self.subnets[0],
        )
        return scaling

    def classic(self) -> Any:
        elb = client("elb")
        elb.create_load_balancer(
            LoadBalancerName="old",
            Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}],
            AvailabilityZones=[f"{REGION}a"],
        )
        return elb


@contextmanager
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with moto.mock_aws():
        yield Region()
