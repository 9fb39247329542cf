"""Includes are resolved as NGINX does, and blocks become states that can be compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from muniment.balancer.nginx import Tree, expanded, flat, read_tree
from muniment.balancer.nginx_blocks import certificate_files, parts
from muniment.balancer.nginx_process import Binary, binary, pid_file, running
from muniment.balancer.nginx_syntax import parse
from muniment.balancer.pages import NotSeen


def tree_of(directory: Path, **files: str) -> Tree:
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_tree(directory / "main")


def state_of(text: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = [
        one for one in parts(parse(text).directives) if (one.kind, one.name) == (kind, name)
    ]
    return found.state


def test_patterns_and_names_are_taken_from_the_main_files_directory(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        main="a 1; include types; http { include sites/*; } include none/*;",
        types="b 2;",
        sites__2="d 4; include types;",
        sites__1="c 3;",
        sites__x="e 5;",
    )
    (tmp_path / "sites" / ".hidden").write_text("f 6;")
    names = ["main", "types", "sites/1", "sites/2", "sites/x"]
    assert list(tree.files) == [str(tmp_path / name) for name in names]
    found = expanded(tree)
    assert [one.name for one in found] == ["a", "b", "http"]
    assert [one.name for one in found[2].block or ()] == ["c", "d", "b", "e"]
    whole = parse(flat(tree).decode()).directives
    assert [one.name for one in whole] == ["a", "b", "http"]
    assert [one.name for one in whole[2].block or ()] == ["c", "d", "b", "e"]


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotSeen, match="gone"):
        tree_of(tmp_path, main="include gone;")


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, main="include a;", a="include b; include b;", b="include a; x 1;")
    for made in (expanded, flat):
        with pytest.raises(NotSeen, match="without end"):
            made(tree)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotSeen, match="not a regular file"):
        tree_of(tmp_path, main="include pipe;")
    with pytest.raises(NotSeen):
        read_tree(tmp_path)


def test_a_file_that_cannot_be_parsed_is_still_a_file(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, main="include a*;", a1="server {", a2="x 1;")
    assert len(tree.files) == 3
    (fault,) = tree.faults()
    assert "a1" in fault and "line 1" in fault


def test_latin_1_keeps_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "main").write_bytes(b"# caf\xe9\ninclude utf;")
    (tmp_path / "utf").write_bytes("x é;".encode())
    tree = read_tree(tmp_path / "main")
    assert [file.encoding for file in tree.files.values()] == ["latin-1", "utf-8"]
    assert flat(tree) == b"# caf\xe9\n\nx \xc3\xa9;\n"


def test_what_did_not_change_is_not_parsed_again(tmp_path: Path) -> None:
    before = tree_of(tmp_path, main="include a;", a="x 1;")
    (tmp_path / "a").write_text("x 2;")
    after = read_tree(tmp_path / "main", before.files)
    main, changed = (str(tmp_path / name) for name in ("main", "a"))
    assert after.files[main] is before.files[main]
    assert after.files[changed] is not before.files[changed]


def test_files_can_be_taken_for_others(tmp_path: Path) -> None:
    tree_of(tmp_path, main="include sites/*.conf;", sites__a__conf="x 1;")
    (tmp_path / "sites" / "a.conf").write_text("x 1;")
    new, old = str(tmp_path / "sites" / "b.conf"), str(tmp_path / "sites" / "a.conf")
    tree = read_tree(tmp_path / "main", instead={new: b"y 2;", old: None})
    assert [one.name for one in expanded(tree)] == ["y"]


SERVERS = """
http {
  upstream app {
    zone app 64k;
    server 10.0.0.1:80 weight=5 max_fails=3 fail_timeout=10s;
    server 10.0.0.2:80 backup;
    server 10.0.0.2:80 down;
  }
  server {
    listen 443 ssl;
    server_name a.test b.test;
    add_header A 1;
    add_header B "2 3";
    location ~ \\.php$ { return 1; }
    location ~* x { return 2; }
    location / { limit_except GET { deny all; } }
    if ($a) { return 1; }
    if ($a) { return 2; }
  }
  server { return 444; }
  server { return 445; }
  gzip on;
}
stream { upstream app { server 1.1.1.1:1; } server { listen 99; proxy_pass app; } }
worker_processes 4;
"""


def test_servers_and_upstreams_are_states() -> None:
    found = {(one.kind, one.name): one for one in parts(parse(SERVERS).directives)}
    assert set(found) == {
        ("context", "main"),
        ("context", "http"),
        ("context", "stream"),
        ("upstream", "app"),
        ("server", "443/a.test"),
        ("server", "80/_"),
        ("server", "80/_ #2"),
        ("stream-upstream", "app"),
        ("stream-server", "99/_"),
    }
    assert found["upstream", "app"].state == {
        "zone": "app 64k",
        "servers": {
            "10.0.0.1:80": {"weight": 5, "max_fails": 3, "fail_timeout": "10s"},
            "10.0.0.2:80": {"weight": 1, "backup": True},
            "10.0.0.2:80 #2": {"weight": 1, "down": True},
        },
    }
    server = found["server", "443/a.test"]
    assert server.where == {"frontend": "a.test"}
    assert server.state == {
        "listen": "443 ssl",
        "server_name": "a.test b.test",
        "add_header": ["A 1", 'B "2 3"'],
        "location ~ \\.php$": {"return": "1"},
        "location ~* x": {"return": "2"},
        "location /": {"limit_except GET": {"deny": "all"}},
        "if ($a)": {"return": "1"},
        "if ($a) #2": {"return": "2"},
        "regex order": ["~ \\.php$", "~* x"],
    }
    assert found["context", "http"].state == {"gzip": "on"}
    assert found["context", "main"].state == {"worker_processes": "4"}


def test_the_order_of_directives_is_no_change_and_that_of_regexes_is() -> None:
    one = "http { server { listen 1; root /a; location ~ a { } location ~ b { } } }"
    two = "http { server { root /a; listen 1; location ~ a { } location ~ b { } } }"
    three = "http { server { root /a; listen 1; location ~ b { } location ~ a { } } }"
    states = [state_of(text, "server", "1/_") for text in (one, two, three)]
    assert states[0] == states[1] != states[2]


def test_certificates_are_found_where_they_are_named(tmp_path: Path) -> None:
    text = """http { ssl_certificate a.pem; server { ssl_certificate /b/c.pem;
      ssl_certificate $ssl_server_name.pem; ssl_certificate data:$x; ssl_certificate_key k.pem;
      proxy_ssl_trusted_certificate ca/../ca.pem; } }"""
    found = certificate_files(tmp_path / "nginx.conf", parse(text).directives)
    assert found == ["/b/c.pem", str(tmp_path / "a.pem"), str(tmp_path / "ca.pem")]


def test_a_pid_file_that_says_nothing_is_nothing_that_runs(tmp_path: Path) -> None:
    file = pid_file("nginx.pid", tmp_path)
    assert running(file) is None
    for text in ("", "x", "1", "99999999999999999999"):
        file.write_text(text)
        assert running(file) is None
    file.unlink()
    file.mkdir()
    with pytest.raises(NotSeen):
        running(file)


def test_a_binary_is_asked_once(tmp_path: Path) -> None:
    program = tmp_path / "nginx"
    said = "nginx version: nginx/1.22.1\\nconfigure arguments: --prefix=/x --with-y"
    program.write_text(f"#!/bin/sh\necho >&2 '{said}'\necho >> {tmp_path}/asked\n")
    program.chmod(0o755)
    found: Binary | None = None
    for _ in range(3):
        found = binary(program, found)
    assert found is not None
    assert (found.version, found.options) == ("nginx/1.22.1", ("--prefix=/x", "with-y"))
    assert (tmp_path / "asked").read_text() == "\n"
