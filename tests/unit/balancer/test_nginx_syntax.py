"""NGINX's language is read as NGINX reads it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.balancer.nginx_syntax import MAX_DEPTH, Directive, parse
from muniment.errors import InputError, MunimentError

CONFIG = Path(__file__).parents[2] / "data" / "nginx" / "nginx.conf"
CONSTRUCTS = r"""
user www;  # a comment; with { marks }
map $uri ${name} { "default-app" "a b"; ~^/(x|y)$ 'c"d'; \;odd e; }
server {
  set $a "q\"r";if ($a = "b}") { return 200 "x{y};z"; }
  location ~* "\.(a|b){2}$" { rewrite ^/x#y /z${a}w last; }
  log_format main '$remote_addr'
                  ' $status';
}
"""


def shape(directives: Sequence[Directive]) -> list[Any]:
    return [
        (one.name, one.values, None if one.block is None else shape(one.block))
        for one in directives
    ]


def test_constructs() -> None:
    user, table, server = shape(parse(CONSTRUCTS).directives)
    assert user == ("user", ["www"], None)
    assert table[1:] == (
        ["$uri", "${name}"],
        [("default-app", ["a b"], None), ("~^/(x|y)$", ['c"d'], None), (r"\;odd", ["e"], None)],
    )
    assert server[2] == [
        ("set", ["$a", 'q"r'], None),
        ("if", ["($a", "=", "b}", ")"], [("return", ["200", "x{y};z"], None)]),
        ("location", ["~*", r"\.(a|b){2}$"], [("rewrite", ["^/x#y", "/z${a}w", "last"], None)]),
        ("log_format", ["main", "$remote_addr", " $status"], None),
    ]


def test_a_block_of_lua_is_one_argument() -> None:
    code = """ local a = "}" -- }
      local b = [[ } ]] if a then return { 1 } end """
    (one, other) = parse("content_by_lua_block {" + code + "}\nlisten 80;").directives
    assert one.values == [code]
    assert other.line == 3


@pytest.mark.parametrize(
    "text",
    ["a", "a {", "a }", "}", ";", "{", 'a "b', "a 'b;", 'a "b"c;', "a \\", "x_by_lua_block { {"],
)
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="line 1"):
        parse(text)


def test_depth_is_bounded() -> None:
    parse("a {" * (MAX_DEPTH - 1) + "}" * (MAX_DEPTH - 1))
    with pytest.raises(InputError):
        parse("a {" * 100_000 + "}" * 100_000)


def test_places_are_those_of_the_text() -> None:
    text = CONFIG.read_text()

    def check(directives: Sequence[Directive]) -> None:
        for one in directives:
            assert text[one.start : one.name_end].strip("\"'") == one.name
            assert text[one.end - 1] in ";{"
            assert text[: one.end].count("\n") + 1 == one.line
            for argument in one.args:
                written = text[argument.start : argument.end]
                assert (written[1:-1] if written[0] in "\"'" else written) == argument.value
            check(one.block or ())

    parsed = parse(text)
    check(parsed.directives)
    assert all(text[start - 1] == "#" for start, _ in parsed.comments)


def of_crossplane(directives: Sequence[dict[str, Any]]) -> list[Any]:
    return [
        (one["directive"], one["args"], of_crossplane(one["block"]) if "block" in one else None)
        for one in directives
    ]


PLAIN = CONSTRUCTS.replace("if ($a", "unless ($a").replace("${name}", "$name")
"""Without what that library changes (`if`) or misreads (`${name} {`)."""


@pytest.mark.parametrize("text", [CONFIG.read_text(), PLAIN])
def test_it_is_what_nginx_own_library_reads(text: str, tmp_path: Path) -> None:
    crossplane = pytest.importorskip("crossplane")
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    read = crossplane.parse(
        os.fspath(file), single=True, check_ctx=False, check_args=False, catch_errors=False
    )
    theirs = of_crossplane(read["config"][0]["parsed"])
    ours = shape(parse(text).directives)
    assert str(ours).replace('\\\\"', '"') == str(theirs).replace('\\\\"', '"')


mutations = st.tuples(
    st.integers(0, 3_400), st.integers(0, 40), st.text("{};\"'\\$# \nab", max_size=8)
)


@pytest.mark.fuzz
@given(st.lists(mutations, max_size=4), st.text(max_size=40))
def test_any_text_is_read_or_refused(cuts: list[tuple[int, int, str]], alone: str) -> None:
    text = CONFIG.read_text()
    for at, cut, put in cuts:
        text = text[:at] + put + text[at + cut :]
    for one in (text, alone):
        try:
            parsed = parse(one)
        except MunimentError:
            continue
        count = one.count(";") + one.count("{")
        assert len(str(shape(parsed.directives))) <= 40 * len(one) + 40
        assert sum(1 for _ in parsed.directives) <= count
