"""Differences of two states: by structure, by sections, by lines."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.query.history import lines
from muniment.query.history.diff import compare, differences
from muniment.query.history.lines import blocks, unified
from muniment.query.history.sections import changed_sections, haproxy, nginx

LINES = st.lists(st.sampled_from(["a", "b", "c", "", " x", "x\r", "y\u2028z", "-"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "a", "b/~"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def applied(a: list[str], b: list[str]) -> list[str]:
    made, at = [], 0
    for block in blocks(a, b):
        assert block.start < block.end or block.from_ < block.to
        made += a[at : block.start] + b[block.from_ : block.to]
        at = block.end
    return made + a[at:]


@given(LINES, LINES)
def test_blocks_make_one_text_of_the_other(a, b) -> None:
    assert applied(a, b) == b


@given(LINES, LINES)
def test_so_they_do_where_nothing_is_compared_in_full(a, b) -> None:
    limit, lines.MAX_COMPARED = lines.MAX_COMPARED, 0
    try:
        assert applied(a, b) == b
    finally:
        lines.MAX_COMPARED = limit


def patched(text: str, diff: str) -> str:
    """The text with a unified diff applied, as `patch` does it; all lines end with a newline."""
    source, made, at = text.split("\n")[:-1], [], 0
    for line in diff.split("\n")[2:-1]:
        if line.startswith("@@"):
            start, _, length = line.split()[1].removeprefix("-").partition(",")
            begin = int(start) - (length != "0")
            made += source[at:begin]
            at = begin
            continue
        if line[0] in " -":
            assert source[at] == line[1:]
            at += 1
        if line[0] in " +":
            made.append(line[1:])
    return "".join(f"{line}\n" for line in [*made, *source[at:]])


@given(LINES, LINES)
def test_a_unified_diff_can_be_applied(a, b) -> None:
    before, after = ("".join(f"{line}\n" for line in one) for one in (a, b))
    found = unified(before, after, "a", "b")
    assert bool(found) == (before != after)
    assert not found or patched(before, found) == after


def test_a_unified_diff() -> None:
    before = "".join(f"line {n}\n" for n in range(1, 21))
    after = before.replace("line 9\n", "line nine\n").replace("line 20\n", "line 20")
    assert unified(before, after, "x@1", "x@2") == (
        "--- x@1\n+++ x@2\n"
        "@@ -6,7 +6,7 @@\n line 6\n line 7\n line 8\n-line 9\n+line nine\n"
        " line 10\n line 11\n line 12\n"
        "@@ -17,4 +17,4 @@\n line 17\n line 18\n line 19\n-line 20\n+line 20\n"
        "\\ No newline at end of file\n"
    )
    assert unified(before, before, "a", "b") == ""


def test_a_diff_without_end_is_cut() -> None:
    text = unified("x\n" * 400_000, "y\n" * 400_000, "a", "b")
    assert len(text) < lines.MAX_TEXT + 100
    assert text.endswith("left out\n")


@pytest.mark.fuzz
@given(JSON, JSON)
def test_what_is_the_same_has_no_differences_and_what_is_not_has(before, after) -> None:
    same = orjson.dumps(before, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        after, option=orjson.OPT_SORT_KEYS
    )
    assert (not list(differences(before, after))) == same


def test_items_with_names_are_matched_by_them() -> None:
    def servers(**weights: int) -> dict[str, object]:
        return {"servers": [{"name": name, "weight": w} for name, w in weights.items()]}

    made = compare(servers(w1=1, w2=2), servers(w2=3, w3=1), "haproxy:a/backend/b", "x@1", "x@2")
    assert made.fields == [
        {"path": "/servers/w1", "before": {"name": "w1", "weight": 1}},
        {"path": "/servers/w2/weight", "before": 2, "after": 3},
        {"path": "/servers/w3", "after": {"name": "w3", "weight": 1}},
    ]
    assert made.semantic
    turned = compare(servers(a=1, b=1), servers(b=1, a=1), "x:a/b/c", "x@1", "x@2")
    assert turned.fields == [{"path": "/servers", "before": ["a", "b"], "after": ["b", "a"]}]


def test_an_object_that_was_not_there() -> None:
    made = compare(None, {"weight": 1, "text": "a\n"}, "files:a/file/x", "x@1", "x@2")
    assert made.fields == [{"path": "/weight", "after": 1}]
    assert made.text == "--- x@1\n+++ x@2\n@@ -0,0 +1 @@\n+a\n"
    assert not made.semantic


def test_many_fields_and_long_texts_are_bounded() -> None:
    made = compare({}, {f"f{n}": "x" * 9_000 for n in range(3_000)}, "x:a/b/c", "x@1", "x@2")
    assert (len(made.fields), made.left_out) == (2_000, True)
    assert len(made.fields[0]["after"]) < 5_000


def test_depth_without_end_is_bounded() -> None:
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    assert len(list(differences({"a": deep}, {"a": [deep]}))) == 1


HAPROXY = """\
global
    maxconn 100
# a remark
frontend http-in
    bind :80   # here
    default_backend web

backend web
    http-request set-header X-A "a # b"
    server w1 10.0.0.1:80
    server w2 10.0.0.2:80
"""


def test_sections_of_haproxy() -> None:
    after = (
        HAPROXY.replace("10.0.0.2:80", "10.0.0.2:81").replace("# here", "# there")
        + "\nlisten stats\n  mode http\n"
    ).replace("global\n    maxconn 100\n", "")
    found = changed_sections("haproxy:lb1/file/x", HAPROXY, after)
    assert found is not None
    assert [(s.name, s.change, s.removed, s.added) for s in found] == [
        ("global", "removed", ["maxconn 100"], []),
        ("backend web", "changed", ["server w2 10.0.0.2:80"], ["server w2 10.0.0.2:81"]),
        ("listen stats", "added", [], ["mode http"]),
    ]
    assert haproxy(HAPROXY)["backend web"][0] == 'http-request set-header X-A "a # b"'


NGINX = """\
worker_processes 2; # two
http {
    server {
        listen 80;
        server_name a.example.org www.a.example.org;
        location / { proxy_pass http://web; add_header X "a; b {"; }
    }
    server {
        listen 80 default_server;
        location ~ "^/x{1,3}$" { return 404; }
    }
}
"""


def test_blocks_of_nginx() -> None:
    after = NGINX.replace("http://web", "http://other").replace("return 404", "return 410")
    found = changed_sections("nginx:edge/file/etc/nginx/nginx.conf", NGINX, after)
    assert found is not None
    assert [(s.name, s.removed, s.added) for s in found] == [
        (
            "http / server a.example.org 80 / location /",
            ["proxy_pass http://web"],
            ["proxy_pass http://other"],
        ),
        ('http / server 80 / location ~ "^/x{1,3}$"', ["return 404"], ["return 410"]),
    ]
    assert nginx(NGINX)["main"] == ["worker_processes 2"]


def test_other_files_have_no_sections() -> None:
    assert changed_sections("files:web/file/etc/hosts", "a\n", "b\n") is None


@pytest.mark.fuzz
@given(st.text(max_size=300) | st.text(alphabet=" \n{};#\"'\\server listenabc", max_size=300))
def test_any_text_has_sections(text) -> None:
    for read in (haproxy, nginx):
        assert sum(map(len, read(text).values())) <= len(text)


@pytest.mark.parametrize(
    "text", ["{" * 100_000, '"' * 100_000, "\\" * 100_001, "server {" * 20_000]
)
def test_hostile_text_takes_its_length_in_time(text) -> None:
    assert isinstance(nginx(text), dict)
    assert isinstance(haproxy(text), dict)


def test_real_configurations_have_sections() -> None:
    data = Path(__file__).parents[2] / "e2e" / "configs"
    found = [haproxy(path.read_text()) for path in sorted(data.glob("*haproxy*"))]
    if not found:
        pytest.skip("there is no configuration of HAProxy")
    assert all(found)
