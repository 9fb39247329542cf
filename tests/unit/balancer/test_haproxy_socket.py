"""HAProxy's stats socket: what its answers mean, in several versions, and what is none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stats_socket import RECORDED, answering, recorded

from muniment.balancer import haproxy
from muniment.balancer.haproxy import PatternFile, Refused, StatsSocket, Unreachable
from muniment.errors import MunimentError


def test_a_unix_socket_is_asked_one_command_a_connection(tmp_path: Path) -> None:
    with answering(lambda command: f"\n{command}!\n\n".encode(), tmp_path / "s") as address:
        socket = StatsSocket(address)
        assert [socket.ask("show info"), socket.ask("help")] == ["show info!", "help!"]
        assert StatsSocket(f"unix@{address}").ask("x") == "x!"


def test_tcp_is_asked_the_same() -> None:
    with answering(lambda command: command.encode()) as address:
        assert StatsSocket(address).ask("show info") == "show info"
        assert StatsSocket(f"ipv4@{address}").ask("show info") == "show info"


@pytest.mark.parametrize(
    "answer",
    [
        b"\nUnknown command, but maybe one of the following ones is a better match:\n  show\n",
        b"Unknown command: 'show ssl', but maybe one of the following ones is a better match:\n",
        b"Unknown command. Please enter one of the following commands only :\n",
        b"Permission denied\n\n",
    ],
)
def test_what_is_not_known_or_not_allowed_is_refused(answer: bytes) -> None:
    with answering(lambda _: answer) as address, pytest.raises(Refused, match="show ssl cert: "):
        StatsSocket(address).ask("show ssl cert")


def test_an_answer_that_is_too_long_or_too_slow_is_none(tmp_path: Path) -> None:
    def slow(_: str) -> bytes:
        time.sleep(1)
        return b"late"

    long = pytest.raises(Unreachable, match="an answer over 1,000,000 bytes")
    with answering(lambda _: b"x" * 1_000_001) as address, long:
        StatsSocket(address).ask("show map #1", 1_000_000)
    with answering(slow) as address, pytest.raises(Unreachable, match=r"no answer in 0.1 s"):
        StatsSocket(address, 0.1).ask("show info")


@pytest.mark.parametrize("address", ["/no/such/socket", "127.0.0.1:1", "nonsense", "host:port", ""])
def test_no_socket_is_said_to_be_none(address: str) -> None:
    with pytest.raises(Unreachable):
        StatsSocket(address, 0.5).ask("show info")


def test_a_command_is_one_line() -> None:
    with pytest.raises(Refused, match="one line"):
        StatsSocket("/no/such/socket").ask("show info\nshutdown frontend web")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("/etc/a.pem", "/etc/a.pem"),
        ("a b", r"a\ b"),
        ("a;shutdown", r"a\;shutdown"),
        ("c:\\x", r"c:\\x"),
    ],
)
def test_words_stay_words(text: str, escaped: str) -> None:
    assert haproxy.word(text) == escaped


@pytest.mark.parametrize("text", ["", "a\nb", "a\0"])
def test_what_cannot_be_a_word_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        haproxy.word(text)


def test_info() -> None:
    found = haproxy.info(recorded()["show info"].decode())
    assert found["Version"] == "2.6.12-1+deb12u4"
    assert found["Maxconn"] == "200"
    assert found["Start_time_sec"].isdigit()


def test_stat_has_the_columns_of_its_header() -> None:
    rows = list(haproxy.stat(recorded()["show stat"].decode()))
    assert [(row["pxname"], row["svname"]) for row in rows[:3]] == [
        ("fe", "FRONTEND"),
        ("be", "w1"),
        ("be", "w2"),
    ]
    assert rows[0]["slim"] == "33"
    assert rows[0]["mode"] == "http"
    text = '# pxname,svname,check_desc,type,\nfe,"a ""b"", c",x,0,\n'
    (row,) = haproxy.stat(text)
    assert row == {"pxname": "fe", "svname": 'a "b", c', "check_desc": "x", "type": "0", "": ""}


def test_servers_of_old_and_new_versions() -> None:
    rows = list(haproxy.servers(recorded()["show servers state"].decode()))
    assert [row["srv_name"] for row in rows] == ["w1", "w2", "t1", "t2", "d1"]
    assert rows[0]["srv_agent_port"] == "18999"
    old = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state\n3 web 1 w1 10.0.0.1 2\n"
    assert next(haproxy.servers(old))["srv_op_state"] == "2"
    with pytest.raises(Unreachable):
        list(haproxy.servers("1\n"))


def test_pattern_files_with_the_ones_that_nobody_wrote_told_apart() -> None:
    found = list(haproxy.pattern_files(recorded()["show acl"].decode()))
    assert found[0] == PatternFile("0", "/etc/haproxy/a.acl", "", 1)
    assert found[2] == PatternFile("2", "", "path_beg", 1)
    assert [one.own for one in found] == [False, False, False, True, True, True]
    old = "-1 (/etc/x.map) pattern loaded from file '/etc/x.map' used by map at file 'h' line 3\n"
    assert list(haproxy.pattern_files(old)) == [PatternFile("-1", "/etc/x.map", "", None)]


def test_entries_lose_the_addresses_of_memory() -> None:
    text = "0x55eaed2054a0 a x\n0x55eaed205530 b y z\n0x55eaed205531 c \n"
    assert list(haproxy.map_entries(text)) == [("a", "x"), ("b", "y z"), ("c", "")]
    assert list(haproxy.acl_entries("0x1 ^/a b$\n\n")) == ["^/a b$"]


def test_certificates_and_files_of_them() -> None:
    listed = "# transaction\n*/etc/a.pem\n# filename\n/etc/a.pem\n@system-ca - 145 certificate(s)\n"
    assert list(haproxy.listed(listed)) == [
        ("*/etc/a.pem", ""),
        ("/etc/a.pem", ""),
        ("@system-ca", "145 certificate(s)"),
    ]
    ((heading, found),) = haproxy.described(
        recorded()["show ssl cert /etc/haproxy/site.pem"].decode()
    )
    assert heading == ""
    assert found["Subject Alternative Name"] == "DNS:a.test"
    assert found["notAfter"] == "Dec 21 14:16:02 2026 GMT"
    several = (
        "Filename: x\nStatus: Used\n \nCertificate #1:\nSerial: 1\n\nCertificate #2:\nSerial: 2\n"
    )
    assert [(head, part.get("Serial")) for head, part in haproxy.described(several)] == [
        ("", None),
        ("Certificate #1", "1"),
        ("Certificate #2", "2"),
    ]


ANSWERS = [path.read_bytes() for path in sorted(RECORDED.glob("*.txt"))]


@pytest.mark.fuzz
@given(st.binary(max_size=400), st.sampled_from(ANSWERS), st.integers(0, 4_000), st.integers(0, 60))
@example(b"# ", b"", 0, 0)
@example(b'# a,b\n"""', b"", 0, 0)
def test_whatever_is_answered_only_our_errors_are_raised(
    junk: bytes, answer: bytes, at: int, cut: int
) -> None:
    text = (answer[:at] + junk + answer[at + cut :]).decode("utf-8", "replace")
    for read in (
        lambda: list(haproxy.stat(text)),
        lambda: list(haproxy.servers(text)),
        lambda: list(haproxy.pattern_files(text)),
        lambda: list(haproxy.acl_entries(text)),
        lambda: list(haproxy.listed(text)),
        lambda: list(haproxy.described(text)),
        lambda: list(haproxy.info(text)),
    ):
        try:
            found = read()
        except MunimentError:
            continue
        assert len(found) <= len(text) + 1
