"""`edge render aws`: a template that CloudFormation's own schemas take, and rules that keep a log
where it may be."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.edge.aws import TEMPLATE, VALUES_OF_A_RULE, check, render
from muniment.edge.description import Description
from muniment.edge.renderers import NoBinary
from muniment.errors import SettingsError
from tests.deploy.descriptions import HEAD, LOGS, described, divided, node

MORE = """
[[stream]]
protocol = "syslog"
listen = "0.0.0.0:6514"
log = "payments.card"
[allow]
networks = ["10.0.0.0/8", "fd00::/8"]
"""
CLIENTS = 'client_ca = "c.pem"\nclient_certificates = "required"\n'
LISTENER = 'listeners = {syslog = "10.0.0.9:6514"}\n'


class Reader(yaml.SafeLoader):
    """Reads CloudFormation's own tags as their words."""


Reader.add_multi_constructor("!", lambda loader, suffix, node: f"{suffix} {node.value}")


def resources(description: Description) -> dict[str, Any]:
    text = render(description)[TEMPLATE]
    found: dict[str, Any] = yaml.load(text, Reader)["Resources"]
    return found


@pytest.fixture
def europe(tmp_path: Path) -> Description:
    more = node("eu9", "10.0.0.9:8470", "ingest,query", "eu", "eu-central-1", more=LISTENER) + MORE
    return divided(tmp_path, "eu", "eu-central-1", more, CLIENTS)


def answered(found: dict[str, Any], method: str, path: str) -> str:
    """What the first rule that fits says: a target group, or a status."""
    rules = [one["Properties"] for name, one in found.items() if re.fullmatch(r"Rule\d+", name)]
    for rule in sorted(rules, key=lambda one: int(one["Priority"])):
        asked = {one["Field"]: one for one in rule["Conditions"]}
        methods = asked.get("http-request-method", {}).get("HttpRequestMethodConfig", {})
        patterns = asked["path-pattern"]["PathPatternConfig"]["Values"]
        if method in methods.get("Values", [method]) and any(
            fnmatchcase(path, pattern) for pattern in patterns
        ):
            (action,) = rule["Actions"]
            fixed = action.get("FixedResponseConfig", {})
            return str(fixed.get("StatusCode") or action["TargetGroupArn"].removeprefix("Ref "))
    return "QueryNodes"


def test_cloudformation_takes_it(europe: Description, tmp_path: Path) -> None:
    plain = described(tmp_path, HEAD.format(place="") + node("a", "10.0.0.1:8470"))
    asked = described(
        tmp_path, HEAD.format(place="") + 'client_ca = "ca.pem"\n' + node("a", "10.0.0.1:8470")
    )
    for fleet in (europe, plain, asked):
        (tmp_path / TEMPLATE).write_text(render(fleet)[TEMPLATE])
        try:
            assert check(tmp_path) is None
        except NoBinary:
            pytest.skip("cfn-lint is not installed here")


def test_its_check_finds_what_is_wrong(europe: Description, tmp_path: Path) -> None:
    text = render(europe)[TEMPLATE].replace("TargetType: ip", "TargetType: pigeon", 1)
    (tmp_path / TEMPLATE).write_text(text)
    try:
        assert "pigeon" in (check(tmp_path) or "")
    except NoBinary:
        pytest.skip("cfn-lint is not installed here")


def test_only_nodes_of_the_jurisdiction_and_region_are_targets(europe: Description) -> None:
    found = resources(europe)
    targets = {
        target["Id"]
        for one in found.values()
        if one["Type"].endswith("TargetGroup")
        for target in one["Properties"]["Targets"]
    }
    assert targets == {"10.0.0.1", "10.0.0.2", "10.0.0.9"}
    reached = {
        rule.get("CidrIp") or rule["CidrIpv6"]
        for rule in found["BalancerSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    }
    assert reached == {f"{host}/32" for host in targets}


@pytest.mark.parametrize("log", LOGS)
def test_a_log_of_another_jurisdiction_is_refused(log: str, europe: Description) -> None:
    found = resources(europe)
    here = LOGS[log] in ("", "eu")
    for method, path, there in [
        ("POST", f"/api/v1/logs/{log}/entries", "IngestNodes"),
        ("PUT", f"/api/v1/logs/{log}/attachments", "IngestNodes"),
        ("GET", f"/api/v1/logs/{log}/attachments/ab", "QueryNodes"),
        ("GET", f"/api/v1/logs/{log}/search", "QueryNodes"),
        ("GET", f"/tlog/{log}/ab12/tile/0/000", "QueryNodes"),
        ("POST", f"/in/{log}/_bulk", "IngestNodes"),
        ("POST", f"/in/{log}/v1/logs", "IngestNodes"),
    ]:
        assert answered(found, method, path) == (there if here else "421")


def test_what_is_of_one_node_is_answered_by_none(europe: Description) -> None:
    found = resources(europe)
    assert answered(found, "GET", "/metrics") == "404"
    assert answered(found, "POST", "/_bulk") == "IngestNodes"
    assert answered(found, "GET", "/") == "QueryNodes"


def test_no_node_speaks_for_the_others(europe: Description, tmp_path: Path) -> None:
    one = HEAD.format(place="") + node("a", "10.0.0.1:8470")
    alone, several = resources(described(tmp_path, one)), resources(europe)
    for path in ("/api/v1/logs/clicks/holds", "/api/v1/logs/clicks/retention", "/api/v1/stores"):
        assert answered(alone, "GET", path) == "IngestNodes"
        assert answered(several, "GET", path) == "403"


def test_a_residency_has_a_name_that_only_its_regions_have(
    europe: Description, tmp_path: Path
) -> None:
    found = resources(europe)
    assert found["Within"]["Properties"]["Name"] == "Sub eu.${DomainName}"
    assert "Within" not in resources(divided(tmp_path, "ap", "ap-south-1"))


def test_rules_keep_the_quotas_of_a_listener(europe: Description) -> None:
    for one in resources(europe).values():
        if one["Type"].endswith("ListenerRule"):
            conditions = one["Properties"]["Conditions"]
            values = [
                value
                for condition in conditions
                for key in ("PathPatternConfig", "HttpRequestMethodConfig")
                for value in condition.get(key, {}).get("Values", [])
            ]
            assert len(values) <= VALUES_OF_A_RULE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (node("a", "node.example.com:8470", tls_name=""), "a target is an IP address"),
        (node("a", "10.0.0.1:8470", "ingest"), "has the role query"),
        ('[members]\nof = ["dns://a.example:8470"]\n', "in \\[\\[node\\]\\] tables"),
    ],
)
def test_what_amazon_cannot_do_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        render(described(tmp_path, HEAD.format(place="") + text))
    with pytest.raises(SettingsError, match="set jurisdiction and"):
        render(divided(tmp_path, ""))
