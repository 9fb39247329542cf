"""Looks at an NGINX: its files, what they say, certificates, processes, and how much it served.

A file that was edited but not loaded shows as a change of `file`, `server`, `upstream` or
`context`; that it was loaded shows as a change of `process/workers`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from muniment.balancer import nginx_process
from muniment.balancer.nginx import File, Tree, expanded, read_tree
from muniment.balancer.nginx_blocks import certificate_files, parts
from muniment.balancer.nginx_process import Binary, Running
from muniment.balancer.nginx_syntax import Directive
from muniment.balancer.pages import NotSeen, Pages
from muniment.capture.port import Counter, Observation, Watcher
from muniment.capture.redaction import Redact
from muniment.capture.section import Local, Watched
from muniment.capture.snapshot import Json, Snapshot
from muniment.capture.systems.certificates import described
from muniment.capture.systems.files import SETTLE_SECONDS
from muniment.capture.systems.looking import counted, looked, scope
from muniment.capture.systems.nginx_secrets import Concealed, conceal
from muniment.clock import rfc3339
from muniment.errors import InputError

Objects = dict[str, Snapshot]
MAX_PEM = 1 << 20
_SETTLE_TRIES = 5
_REQUESTS = re.compile(
    rb"Active connections: \d+ ?\nserver accepts handled requests ?\n ?\d+ \d+ (\d+)"
)
_MARKED = "[redacted "


class Settings(Watched):
    """A section `[[nginx]]`."""

    config: Local = Field(default=Path("/etc/nginx/nginx.conf"), description="The main file.")
    prefix: Local = Field(
        default=Path("/usr/share/nginx"), description="What `nginx -p` is, or was built with."
    )
    binary: Local = Field(default=Path("/usr/sbin/nginx"), description="The program.")
    pid: Local | None = Field(
        default=None, description="The file of the master's process id, if `pid` does not say it."
    )
    status: str | None = Field(
        default=None, description="The page of stub_status: http://127.0.0.1:8080/status."
    )
    status_logged: bool = Field(
        default=False, description="Whether looks at that page are in the access log themselves."
    )
    match: str = Field(
        default="metadata.product.name:NGINX class:http metadata.log_name:access",
        description="The query that finds the access log entries of all its HTTP servers.",
    )


def watchers(settings: Settings, redact: Redact) -> list[Watcher]:
    """Returns the watcher of an NGINX."""
    return [NginxWatcher(settings, redact)]


class Configuration:
    """The configuration as it was read last. What did not change is not made again."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._settings, self._redact = settings, redact
        self._name = f"nginx:{settings.name}"
        self.tree = Tree("")
        self.concealed: dict[str, Concealed] = {}
        self.directives: list[Directive] = []
        self.files: Objects = {}
        self.blocks: Objects = {}
        self.error = ""

    def read(self) -> None:
        """Reads what stands in the files now, once nobody seems to write them. Raises NotSeen."""
        for _ in range(_SETTLE_TRIES):
            tree = read_tree(self._settings.config, self.tree.files)
            age = time.time() - tree.written
            if not 0 <= age < SETTLE_SECONDS:
                break
            time.sleep(SETTLE_SECONDS - age)
        self._take(tree)

    def _take(self, tree: Tree) -> None:
        before = self.tree.files
        same = before.keys() == tree.files.keys() and all(
            before[path] is file for path, file in tree.files.items()
        )
        self.tree = tree
        if not same:
            self.concealed = {path: conceal(f, self._redact) for path, f in tree.files.items()}
            self.error = "; ".join(tree.faults()[:10])
            if not self.error:
                self._make_blocks()
        self.files = {
            f"{self._name}/file/{path.lstrip('/')}": file_snapshot(
                path, file, self.concealed[path].text
            )
            for path, file in tree.files.items()
        }

    def _make_blocks(self) -> None:
        try:
            self.directives = expanded(self.tree)
            shown = Tree(self.tree.main)
            for path, file in self.tree.files.items():
                shown.files[path] = _without_secrets(file, self.concealed[path])
            self.blocks = {
                f"{self._name}/{one.kind}/{one.name}": Snapshot(
                    one.state, redacted=list(_marked(one.state, "")), where=one.where
                )
                for one in parts(expanded(shown))
            }
        except (NotSeen, RecursionError) as error:
            self.error = str(error)


def _without_secrets(file: File, concealed: Concealed) -> File:
    parsed = file.parsed
    assert parsed is not None
    shown = type(parsed)(concealed.directives)
    return File(b"", concealed.text, file.encoding, shown)


def file_snapshot(path: str, file: File, text: str) -> Snapshot:
    """Returns a file of the configuration as an object."""
    state: dict[str, Json] = {"text": text}
    if file.fault:
        state["error"] = file.fault
    if file.encoding != "utf-8":
        state["encoding"] = file.encoding
    by = {}
    if file.about is not None:
        state["mode"] = f"{file.about.st_mode & 0o7777:04o}"
        state["owner"] = f"{file.about.st_uid}:{file.about.st_gid}"
        by["time"] = rfc3339(datetime.fromtimestamp(file.about.st_mtime, UTC))
    redacted = ["/text"] if text != file.text else []
    return Snapshot(state, redacted=redacted, names=[path], by=by)


def _marked(value: Json, path: str) -> Iterable[str]:
    if isinstance(value, str) and _MARKED in value:
        yield path
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _marked(one, f"{path}/{number}")
    elif isinstance(value, dict):
        for key, one in value.items():
            place = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if _MARKED in key:
                yield place
            yield from _marked(one, place)


class NginxWatcher:
    """Looks at one NGINX."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._settings = settings
        self._configuration = Configuration(settings, redact)
        self._status = Pages(settings.status) if settings.status else None
        self._binary: Binary | None = None
        self._looks = 0
        self._begun = rfc3339(datetime.now(UTC))
        self.name = f"nginx:{settings.name}"
        self.every = settings.every

    def observe(self) -> Iterable[Observation]:
        """Looks at files, what they say, certificates, processes and the counter."""
        now = self._configuration
        _, error = looked(now.read)
        yield Observation("files", now.files, error=error)
        error = error or now.error
        yield Observation("blocks", now.blocks, error=error)
        if error:
            yield Observation("certificates", error=error)
        else:
            yield scope("certificates", now, "", self._certificates)
        found, failed = looked(self._running)
        yield Observation("workers", self._workers(found), error=failed)
        binary, failed = looked(self._look_at_binary)
        yield scope("binary", binary, failed, self._version)
        if self._status is not None and found is not None:
            served, at, failed = counted(self._served)
            epoch = f"{found.epoch}, looked at since {self._begun}"
            counters = (
                [] if served is None else [Counter("requests", served, epoch, self._settings.match)]
            )
            yield Observation("counters", counters=counters, counted=at, error=failed)

    def close(self) -> None:
        """Ends its connection."""
        if self._status is not None:
            self._status.close()

    def _certificates(self, now: Configuration) -> Objects:
        paths = certificate_files(self._settings.config, now.directives)
        return {
            f"{self.name}/certificate/{path.lstrip('/')}": Snapshot(_pem(Path(path)), names=[path])
            for path in paths
        }

    def _running(self) -> Running | None:
        return nginx_process.running(pid_path(self._settings, self._configuration.directives))

    def _workers(self, found: Running | None) -> Objects:
        if found is None:
            return {}
        state: dict[str, Json] = {"master": found.master, "generation": found.generation}
        return {f"{self.name}/process/workers": Snapshot(state)}

    def _look_at_binary(self) -> Binary:
        self._binary = nginx_process.binary(self._settings.binary, self._binary)
        return self._binary

    def _version(self, binary: Binary) -> Objects:
        state: dict[str, Json] = {
            "path": binary.path,
            "version": binary.version,
            "options": list(binary.options),
        }
        return {f"{self.name}/process/binary": Snapshot(state)}

    def _served(self) -> int:
        """Requests without those of the looks themselves, where they are in no access log."""
        assert self._status is not None
        page = self._status.text("", 4_096)
        self._looks += 1
        found = _REQUESTS.search(page)
        if found is None:
            raise NotSeen("the page of stub_status is none")
        return int(found[1]) - (0 if self._settings.status_logged else self._looks)


def pid_path(settings: Settings, directives: Iterable[Directive]) -> Path:
    """Returns the file of the master's process id."""
    if settings.pid is not None:
        return settings.pid
    said = [one.args[0].value for one in directives if one.name == "pid" and one.args]
    return nginx_process.pid_file(said[-1] if said else None, settings.prefix)


def _pem(path: Path) -> dict[str, Json]:
    try:
        with path.open("rb") as file:
            found = described(file.read(MAX_PEM))
    except OSError as error:
        return {"error": error.strerror or "cannot be read"}
    except InputError as error:
        return {"error": error.detail}
    return found if found is not None else {"error": "there is no certificate in it"}
