"""What a description takes, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_descriptions import EVERYTHING, MINIMAL, many, written

from muniment.edge.description import load
from muniment.edge.kinds import Place
from muniment.errors import SettingsError


def test_the_minimal_description_has_the_defaults(tmp_path: Path) -> None:
    description = written(tmp_path, MINIMAL)
    assert description.name == "edge"
    assert description.tls.certificate == tmp_path / "edge.pem"
    assert [node.name for node in description.nodes("ingest")] == ["n1"]
    assert not description.divided


def test_every_key_is_taken(tmp_path: Path) -> None:
    description = written(tmp_path, EVERYTHING)
    assert description.divided
    assert description.residencies == ("eu", "us")
    assert [node.name for node in description.nodes("query", "eu")] == ["n3"]
    assert [node.name for node in description.nodes("ingest")] == ["n1", "n2"]
    assert description.node[1].address == Place("2001:db8::2", 8470)
    assert [node.server_name for node in description.node] == ["n1", "n2.example", "localhost"]
    assert [description.is_near(node) for node in description.node] == [True, False, False]


@pytest.mark.parametrize(
    ("places", "residencies", "own", "divided"),
    [
        (["eu", "us"], [], "", False),
        (["eu", "eu"], ["eu"], "", False),
        (["eu", "us"], ["eu"], "", True),
        (["eu", "us"], ["eu", "us"], "", True),
        (["eu", ""], ["eu"], "", True),
        (["eu", "eu"], ["eu"], "us", True),
    ],
)
def test_it_is_divided_where_a_log_may_not_be_everywhere(
    tmp_path: Path, places: list[str], residencies: list[str], own: str, divided: bool
) -> None:
    text = f'jurisdiction = "{own}"\n' + many(0)
    for number, place in enumerate(places):
        text += f'[[node]]\nname = "n{number}"\naddress = "127.0.0.1:84{number}0"\n'
        text += f'jurisdiction = "{place}"\n'
    for number, residency in enumerate(residencies):
        text += f'[[log]]\nname = "l{number}"\nresidency = "{residency}"\n'
    assert written(tmp_path, text).divided is divided


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[listen]", "nothing = 1\n[listen]", "nothing: there is no such key in a description"),
        ('https = ["127.0.0.1:8443"]', "https = []", "listen.https"),
        ('name = "n1"', 'name = "n1\\nserver evil 1.2.3.4:1"', "is no name"),
        ('name = "n1"', 'name = "N1"', "is no name"),
        ("127.0.0.1:8470", "10.0.0.1:8470", "plain text over a network"),
        ("127.0.0.1:8470", "node one:8470", "is no IP address and no host name"),
        ("127.0.0.1:8470", "127.0.0.1", "is no place"),
        ("127.0.0.1:8470", "127.0.0.1:0", "is no place"),
        ("127.0.0.1:8470", "fe80::1:8470", "stands in brackets"),
        ("edge.pem", "edge'.pem", "cannot stand in a configuration"),
        ("edge.pem", "edge$x.pem", "cannot stand in a configuration"),
        ("[tls]", '[tls]\nclient_certificates = "required"', "needs client_ca"),
        ("[tls]", '[tls]\nnode_certificate = "edge.pem"', "set nodes_ca"),
        ("[[node]]", "[[node]]\nroles = ['king']", "node.0.roles"),
        ("[[node]]", "[[node]]\nstate = 'gone'", "node.0.state"),
        ("[[node]]", "[members]\nof = ['http://x']\n[[node]]", "an edge asks nodes"),
        ("[[node]]", "[members]\nof = 'dns://a:1'\n[[node]]", "members.of: write a list"),
        ("[[node]]", "[cache]\nsize = 5000\n[[node]]", "cache.size"),
        ("[[node]]", "[[stream]]\nprotocol='syslog'\nlisten='1.2.3.4:1'\n[[node]]", "anonymous"),
        ("[[node]]", "[[log]]\nname='a'\n[[log]]\nname='a'\n[[node]]", "a stands there twice"),
        (
            "[[node]]",
            "[[stream]]\nprotocol='syslog'\nlisten='127.0.0.1:1'\nlog='x'\n[[node]]",
            "there is no [[log]] x",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINIMAL
    with pytest.raises(SettingsError) as error:
        written(tmp_path, MINIMAL.replace(old, new))
    assert said in error.value.detail


def test_a_stream_names_its_log_where_logs_may_not_be_everywhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name its log"):
        written(tmp_path, EVERYTHING.replace('log = "default"', ""))


def test_a_description_names_nodes_or_whom_to_ask(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name the nodes"):
        written(tmp_path, many(0))
    text = many(0) + '[members]\nof = ["https://10.0.0.1:8470"]\n'
    assert written(tmp_path, text).node == ()


@pytest.mark.parametrize("data", [b"\xff", b"a = ", b"[" * 5_000, b"a" * 2_000_000])
def test_what_is_no_description_is_an_error_of_the_settings(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fleet.toml"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=r"fleet\.toml"):
        load(path)
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "nothing.toml")


def test_other_nodes_have_to_fit_too(tmp_path: Path) -> None:
    description = written(tmp_path, MINIMAL)
    far = description.node[0].model_copy(update={"address": Place("10.0.0.1", 8470)})
    with pytest.raises(SettingsError, match="plain text over a network"):
        description.with_nodes([far])
    with pytest.raises(SettingsError, match="stands there twice"):
        description.with_nodes([*description.node, *description.node])


@pytest.mark.parametrize(("role", "missing"), [("ingest", "query"), ("query", "ingest")])
def test_it_says_which_role_nobody_has(tmp_path: Path, role: str, missing: str) -> None:
    alone = MINIMAL.replace("[[node]]", f'[[node]]\nroles = ["{role}"]')
    (said,) = written(tmp_path, alone).lacking()
    assert f"no node has the role {missing}" in said
    asked = alone + '[members]\nof = ["https://10.0.0.1:8470"]\n'
    assert not list(written(tmp_path, asked).lacking())
    assert not list(written(tmp_path, MINIMAL).lacking())


def test_many_write_where_two_nodes_are_left_that_do(tmp_path: Path) -> None:
    assert not written(tmp_path, MINIMAL).many_write
    assert written(tmp_path, many(2)).many_write
    assert not written(tmp_path, many(2) + 'state = "left"\n').many_write
