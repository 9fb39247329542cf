"""HAProxy's stats socket (the Runtime API): commands, and what their answers mean.

One connection carries one command: HAProxy closes it after the answer, so that nothing in an answer
can be taken for its end. The management guide (section 9) has the commands. Columns are found by
the names in the header lines, which differ from version to version.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from muniment.errors import MunimentError

TIMEOUT = 5.0
MAX_ANSWER = 32 << 20
MAX_ROWS = 200_000
_REFUSALS = ("Unknown command", "Permission denied", "Require", "No such command")


class Unreachable(MunimentError):
    """The stats socket cannot be reached, or does not answer as one does."""

    status = 502
    slug = "balancer-unreachable"
    title = "The balancer does not answer"


class Refused(MunimentError):
    """HAProxy does not know a command, or does not allow it on this socket."""

    status = 502
    slug = "balancer-refused"
    title = "The balancer refused"


@dataclass(frozen=True, slots=True)
class StatsSocket:
    """Where HAProxy takes commands: `/run/haproxy/admin.sock`, `unix@/…` or `[ipv4@]host:port`."""

    address: str
    timeout: float = TIMEOUT

    def ask(self, command: str, most: int = MAX_ANSWER) -> str:
        """Returns the answer to a command, without the empty lines around it.

        Raises Unreachable, also where the answer is longer than `most` bytes or takes longer than
        the time limit, and Refused.
        """
        if "\n" in command.rstrip("\n") and "<<\n" not in command:
            raise Refused("a command is one line")
        answer = self._talk(command.encode("utf-8", "surrogateescape") + b"\n", most)
        text = answer.decode("utf-8", "replace").strip("\n")
        if text.startswith(_REFUSALS):
            raise Refused(f"{command.split(' <<')[0][:80]}: {text.splitlines()[0][:200]}")
        return text

    def _talk(self, data: bytes, most: int) -> bytes:
        deadline = time.monotonic() + self.timeout
        answer = bytearray()
        try:
            with self._connect() as connection:
                connection.sendall(data)
                while chunk := connection.recv(1 << 16):
                    answer += chunk
                    if len(answer) > most:
                        raise Unreachable(f"{self.address}: an answer over {most:,} bytes")
                    connection.settimeout(max(0.001, deadline - time.monotonic()))
        except TimeoutError as error:
            raise Unreachable(f"{self.address}: no answer in {self.timeout:g} s") from error
        except OSError as error:
            raise Unreachable(f"{self.address}: {error.strerror or error}") from error
        return bytes(answer)

    def _connect(self) -> socket.socket:
        place = self.address.removeprefix("unix@")
        if place.startswith("/"):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self.timeout)
            try:
                connection.connect(place)
            except OSError:
                connection.close()
                raise
            return connection
        host, _, port = re.sub("^(?:ipv[46]|tcp[46]?)@", "", place).rpartition(":")
        if not port.isascii() or not port.isdigit():
            raise Unreachable(f"{self.address!r} is no stats socket; write a path or HOST:PORT")
        return socket.create_connection((host.strip("[]"), int(port)), self.timeout)


def word(text: str) -> str:
    """Returns a text as one word of a command line. Raises Refused where it cannot be one."""
    if not text or re.search(r"[\x00-\x1f\x7f]", text):
        raise Refused(f"{text[:80]!r} cannot stand in a command")
    return re.sub(r"([\\ ;'\"#])", r"\\\1", text)


def info(text: str) -> dict[str, str]:
    """Reads `show info`: `Name: value` lines."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return found


def stat(text: str) -> Iterator[dict[str, str]]:
    """Reads `show stat`: CSV whose first line, after `# `, names the columns."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# "):
        raise Unreachable("show stat: the answer has no header line")
    header = lines[0][2:].split(",")
    for line in _bounded(lines[1:]):
        if line:
            yield dict(zip(header, _cells(line), strict=False))


def _cells(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    return [
        quoted.replace('""', '"') if quoted else plain
        for quoted, plain in re.findall(r'(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)', line)
    ]


def servers(text: str) -> Iterator[dict[str, str]]:
    """Reads `show servers state`: a version, a line `# names`, then a line a server."""
    header: list[str] = []
    for line in _bounded(text.splitlines()):
        if line.startswith("# "):
            header = line[2:].split()
        elif header and line.strip():
            yield dict(zip(header, line.split(), strict=False))
    if not header:
        raise Unreachable("show servers state: the answer has no header line")


@dataclass(frozen=True, slots=True)
class PatternFile:
    """One line of `show map` or `show acl`; `file` is empty for patterns of the configuration."""

    id: str
    file: str
    criterion: str
    count: int | None

    @property
    def own(self) -> bool:
        """Whether HAProxy made it for itself: nobody wrote it into a configuration."""
        return not self.file and not self.criterion


_PATTERNS = re.compile(r"(?P<id>-?\d+) \((?P<file>.*?)\) (?P<about>.*)")
_ABOUT = re.compile(
    r"(?:acl|map) '(?P<criterion>[^']*)' file '(?P<where>[^']*)' line (?P<line>\d+)"
)
_COUNT = re.compile(r"entry_cnt=(\d+)$")


def pattern_files(text: str) -> Iterator[PatternFile]:
    """Reads `show map` and `show acl` without an argument."""
    for line in _bounded(text.splitlines()):
        found = _PATTERNS.match(line)
        if found is None:
            continue
        about, count = _ABOUT.match(found["about"]), _COUNT.search(line)
        criterion = about["criterion"] if about is not None and about["line"] != "0" else ""
        entries = int(count[1]) if count is not None and len(count[1]) < 16 else None
        yield PatternFile(found["id"], found["file"], criterion, entries)


def map_entries(text: str) -> Iterator[tuple[str, str]]:
    """Reads `show map #id`: key and value of each entry. The first space ends the key."""
    for entry in acl_entries(text):
        key, _, value = entry.partition(" ")
        yield key, value


def acl_entries(text: str) -> Iterator[str]:
    """Reads `show acl #id`: the pattern of each entry, without the address of its memory."""
    for line in text.split("\n"):
        pointer, _, entry = line.partition(" ")
        if pointer.startswith("0x") and entry:
            yield entry


def listed(text: str) -> Iterator[tuple[str, str]]:
    """Reads `show ssl cert`, `ca-file` and `crl-file` without an argument: name and remark.

    A name with `*` before it is a transaction that is not committed, and no file in use.
    """
    for line in _bounded(text.splitlines()):
        if line and not line.startswith("#"):
            name, _, remark = line.partition(" - ")
            yield name.strip(), remark.strip()


def described(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Reads `show ssl cert NAME` and its like: one part, or several that begin `Certificate #1:`.

    Yields each part's heading, empty for the first, and its `Name: value` lines.
    """
    heading, found = "", dict[str, str]()
    for line in _bounded(text.splitlines()):
        name, colon, value = line.strip().partition(":")
        if (
            colon
            and not value
            and re.fullmatch(r"Certificate #\d+|CRL .*|Revoked Certificates", name)
        ):
            yield heading, found
            heading, found = name, {}
        elif colon:
            found.setdefault(name, value.strip())
    yield heading, found


def _bounded(lines: list[str]) -> list[str]:
    if len(lines) > MAX_ROWS:
        raise Unreachable(f"an answer of {len(lines):,} lines: more than are looked at")
    return lines
