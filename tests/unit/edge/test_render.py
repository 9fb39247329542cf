"""What is rendered for HAProxy and NGINX: the balancer takes it, and it says what it must."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from edge_descriptions import EVERYTHING, MINIMAL, many, parsed, stage, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from muniment.edge import envoy, haproxy, nginx
from muniment.edge.description import Description
from muniment.edge.paths import AT_EACH_NODE
from muniment.edge.renderers import NoBinary, binary
from muniment.errors import SettingsError

Render = Callable[[Description], Mapping[str, str]]
ONLY_EU = EVERYTHING.replace('"us"', '"eu"')
NO_CACHE = MINIMAL + "[cache]\nsize = 0\n"
MEMBERS = many(0) + '[members]\nof = ["https://10.0.0.1:8470"]\n'
NAMES = MINIMAL.replace('name = "n1"', 'name = "default"') + "".join(
    f'[[log]]\nname = "{name}"\n'
    for name in ("default", "hostnames", "include", "volatile", "nodes")
)
DESCRIPTIONS = {
    "minimal": MINIMAL,
    "everything": EVERYTHING,
    "one jurisdiction": ONLY_EU,
    "no own place": EVERYTHING.replace('jurisdiction = "eu"\nregion = "eu-central"\n', "", 1),
    "50 nodes": many(50),
    "no cache": NO_CACHE,
    "no node yet": MEMBERS,
    "odd names": NAMES,
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
@pytest.mark.parametrize("kind", [haproxy, nginx], ids=["haproxy", "nginx"])
def test_the_balancer_takes_it(kind: object, name: str, tmp_path: Path) -> None:
    render: Render = kind.render  # type: ignore[attr-defined]
    check: Callable[[Path], str | None] = kind.check  # type: ignore[attr-defined]
    files = render(written(tmp_path, DESCRIPTIONS[name]))
    place = tmp_path / "out"
    place.mkdir()
    try:
        said = check(stage(place, files))
    except NoBinary as error:
        pytest.skip(error.detail)
    assert said is None


@pytest.mark.parametrize("kind", [haproxy, nginx, envoy], ids=["haproxy", "nginx", "envoy"])
def test_no_node_speaks_for_the_others(kind: object, tmp_path: Path) -> None:
    render: Render = kind.render  # type: ignore[attr-defined]
    assert AT_EACH_NODE in "".join(render(written(tmp_path, many(2))).values())
    assert AT_EACH_NODE not in "".join(render(written(tmp_path, many(1))).values())


def test_a_frontend_of_streams_has_no_option_of_http(tmp_path: Path) -> None:
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("HAProxy is not installed here")
    stage(tmp_path, haproxy.render(written(tmp_path, EVERYTHING)))
    command = [binary("haproxy"), "-c", "-f", haproxy.CONFIG]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "idle-close-on-response" not in done.stderr


def test_haproxy_says_what_it_dislikes(tmp_path: Path) -> None:
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("HAProxy is not installed here")
    stage(tmp_path, {haproxy.CONFIG: "nonsense\n"})
    said = haproxy.check(tmp_path)
    assert said is not None
    assert "nonsense" in said
    assert "NOTICE" not in said


class TestHAProxy:
    """Pieces of haproxy.cfg."""

    def text(self, directory: Path, text: str) -> str:
        return haproxy.render(written(directory, text))[haproxy.CONFIG]

    def test_nodes_are_spoken_to_by_name_over_mutual_tls(self, tmp_path: Path) -> None:
        text = self.text(tmp_path, EVERYTHING)
        server = re.search(r"^    server n2 .*$", text, re.MULTILINE)
        assert server is not None
        for piece in ("verify required", "sni str(n2.example)", "verifyhost n2.example"):
            assert piece in server[0]
        assert " backup" in server[0]
        assert "weight 0" in server[0]

    def test_a_residency_has_no_server_elsewhere(self, tmp_path: Path) -> None:
        text = self.text(tmp_path, EVERYTHING)
        for name, servers in (("ingest.eu", ["n1"]), ("query.eu", ["n3"]), ("ingest.us", ["n2"])):
            part = text.split(f"\nbackend {name}\n")[1].split("\nbackend ")[0]
            part = part.split("\nfrontend ")[0]
            assert re.findall(r"^    server (\S+)", part, re.MULTILINE) == servers
        stream = text.split("\nbackend syslog1.nodes\n")[1].split("\nfrontend ")[0]
        assert re.findall(r"^    server (\S+)", stream, re.MULTILINE) == ["n1"]

    def test_what_claims_to_be_the_edge_is_deleted_before_it_is_set(self, tmp_path: Path) -> None:
        text = self.text(tmp_path, EVERYTHING)
        for name in ("X-SSL-Client-CN", "X-Forwarded-For"):
            deleted = text.index(f"del-header {name.lower()}")
            assert deleted < text.index(f"set-header {name} ")

    def test_only_what_never_changes_is_stored(self, tmp_path: Path) -> None:
        text = self.text(tmp_path, EVERYTHING)
        assert "acl cacheable var(txn.class) -m str tile entry static" in text
        assert text.count("cache-store") == len(re.findall(r"^backend query\.", text, re.MULTILINE))
        assert "cache" not in re.sub(r"(?m)^ *#.*|Cache-Control", "", self.text(tmp_path, NO_CACHE))

    def test_the_map_has_every_log(self, tmp_path: Path) -> None:
        files = haproxy.render(written(tmp_path, EVERYTHING))
        assert "default any\nhostnames eu\nus.log us\n" in files[haproxy.RESIDENCY]

    def test_an_edge_of_a_jurisdiction_takes_nothing_of_another(self, tmp_path: Path) -> None:
        assert "!{ var(txn.residency) -m str any eu }" in self.text(tmp_path, EVERYTHING)


class TestNginx:
    """Pieces of nginx.conf."""

    def text(self, directory: Path, text: str) -> str:
        return nginx.render(written(directory, text))[nginx.CONFIG]

    def test_a_residency_has_no_server_elsewhere(self, tmp_path: Path) -> None:
        text = self.text(tmp_path, EVERYTHING)
        for name, servers in (("ingest_eu", ["10.0.0.1:8470"]), ("query_eu", ["localhost:8473"])):
            part = text.split(f"upstream {name} {{")[1].split("}")[0]
            assert re.findall(r"server (\S+) ", part) == servers
        part = text.split("upstream query_us {")[1].split("}")[0]
        assert re.findall(r"server (\S+) ", part) == ["[2001:db8::2]:8470"]

    def test_nodes_need_a_name_in_common(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="nodes_name"):
            self.text(tmp_path, EVERYTHING.replace('nodes_name = "nodes.test"', ""))

    def test_the_key_of_the_cache_has_no_secret_and_a_node_is_asked_first(
        self, tmp_path: Path
    ) -> None:
        part = self.text(tmp_path, EVERYTHING).split("location @lasting {")[1].split("}")[0]
        assert "auth_request /_may_read;" in part
        assert "authorization" not in part.lower()


HOSTILE = st.text(
    st.one_of(
        st.sampled_from("\n\r\0\t '\"\\{}[];#$%`~^|()*,=@:/.-_"), st.characters(codec="utf-8")
    ),
    min_size=1,
    max_size=40,
)
TEXTS: tuple[tuple[str | int, ...], ...] = (
    ("name",),
    ("region",),
    ("jurisdiction",),
    ("tls", "certificate"),
    ("tls", "client_ca"),
    ("tls", "nodes_name"),
    ("node", 0, "name"),
    ("node", 0, "address"),
    ("node", 0, "tls_name"),
    ("node", 0, "region"),
    ("node", 0, "listeners", "syslog"),
    ("log", 0, "name"),
    ("log", 1, "residency"),
    ("own_log", "to"),
    ("own_log", "tls_name"),
    ("listen", "http"),
)


def _skeleton(text: str) -> list[str]:
    """The first words of the lines: what the balancer is told to do."""
    return [line.split()[0] for line in text.splitlines() if line.split()]


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(where=st.sampled_from(TEXTS), hostile=HOSTILE)
def test_no_text_of_a_description_makes_a_line(where: tuple[str | int, ...], hostile: str) -> None:
    given_ = parsed(EVERYTHING)
    place = given_
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = hostile
    try:
        description = Description.model_validate(given_)
        plain = Description.model_validate(parsed(EVERYTHING))
    except ValidationError:
        return
    for render, main in ((haproxy.render, haproxy.CONFIG), (nginx.render, nginx.CONFIG)):
        try:
            text = render(description)[main]
        except SettingsError:
            continue
        known = set(_skeleton(render(plain)[main]))
        if where[-1] not in ("residency", "jurisdiction", "region", "address", "name", "tls_name"):
            assert len(_skeleton(text)) == len(_skeleton(render(plain)[main]))
        assert {word for word in _skeleton(text) if not word.startswith(("\\", '"'))} <= known | {
            f"~^(?:any|unknown|{description.jurisdiction}):",
            description.jurisdiction,
            "resolvers",
            "}",
        }
