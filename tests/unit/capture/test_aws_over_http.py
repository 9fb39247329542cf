"""The agent's sections for AWS over HTTP, at an endpoint of its own: a server of moto."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from threading import Event, Thread

import pytest

pytest.importorskip("boto3")
pytest.importorskip("flask")
pytest.importorskip("moto")

from moto.server import ThreadedMotoServer
from tests.moto_region import REGION, boto3

from muniment.capture.agent import Agent
from muniment.capture.settings import load

CONFIG = """
name = "lb1"
endpoints = ["http://127.0.0.1:9"]
state = "state"

[[aws]]
name = "prod"
region = "{region}"
endpoint = "{url}"
every = 1
look = ["load-balancers", "targets"]

[[s3]]
name = "elb"
region = "{region}"
endpoint = "{url}"
bucket = "logs"
as = "aws-elb"
every = 1
"""


@pytest.fixture
def url(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    there = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    there.start()
    host, port = there.get_host_and_port()
    yield f"http://{host}:{port}"
    there.stop()


def test_an_agent_captures_a_bucket_and_a_region(url, tmp_path) -> None:
    s3 = boto3.client("s3", region_name=REGION, endpoint_url=url)
    s3.create_bucket(Bucket="logs", CreateBucketConfiguration={"LocationConstraint": REGION})
    day = f"AWSLogs/1/elasticloadbalancing/{REGION}/{datetime.now(UTC):%Y/%m/%d}"
    lines = [b"%d" % number for number in range(10_000)]
    s3.put_object(Bucket="logs", Key=f"{day}/1.log.gz", Body=gzip.compress(b"\n".join(lines)))
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=url)
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    elb = boto3.client("elbv2", region_name=REGION, endpoint_url=url)
    elb.create_load_balancer(Name="shop", Subnets=subnets)

    path = tmp_path / "capture.toml"
    path.write_text(CONFIG.format(region=REGION, url=url))
    agent = Agent(load(path), path.read_bytes())
    stopping = Event()
    running = Thread(target=agent.run, args=(stopping,), daemon=True)
    running.start()
    try:
        for _ in range(2_400):
            heads = agent.spool.heads()
            seen = {name: head.last for name, head in heads.items()}
            if seen.get("lb1/elb", 0) >= len(lines) and seen.get("lb1/aws:prod", 0) >= 1:
                break
            stopping.wait(0.05)
    finally:
        stopping.set()
        running.join(60)
    assert seen["lb1/elb"] == len(lines)
    assert seen["lb1/aws:prod"] == 1
