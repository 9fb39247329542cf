"""Puts files of HAProxy's configuration back: checked by HAProxy, replaced at once, reloaded."""

from __future__ import annotations

import glob
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from muniment.balancer.haproxy import StatsSocket, info
from muniment.capture.redaction import Redact
from muniment.capture.snapshot import Snapshot, State
from muniment.capture.systems.files import is_named
from muniment.capture.systems.haproxy import Settings
from muniment.capture.systems.text_secrets import redacted
from muniment.errors import MunimentError
from muniment.rollback.files import FileChange, draft, read_bounded, replace
from muniment.rollback.haproxy_acts import Act
from muniment.rollback.port import ApplyFailed, CannotRollBack, Step

COMMAND_SECONDS = 60.0
_MARKER = re.compile(r"\[redacted [0-9a-f]{16}\]")


class ConfigFiles:
    """The files of one HAProxy."""

    def __init__(self, settings: Settings, socket: StatsSocket, redact: Redact) -> None:
        self._settings, self._socket, self._redact = settings, socket, redact

    def plan(self, name: str, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
        """Returns the steps for a file. Raises CannotRollBack, also where HAProxy refuses it."""
        path = Path("/", name)
        self._check_own(path, name)
        if live is not None and wanted is not None and live.state.get("link") != wanted.get("link"):
            raise CannotRollBack(f"{path} is a link to another file now: mend the link first")
        return (*self._text(path, live, wanted), *self._access(path, live, wanted))

    def _check_own(self, path: Path, name: str) -> None:
        """Refuses what is no file of the section: a version says what, the settings say where."""
        if f"/{name}" != os.path.normpath(f"/{name}"):
            raise CannotRollBack(f"{name!r} is not a plain path")
        if not is_named(str(path), [*self._settings.files, *self._settings.config]):
            raise CannotRollBack(f"{path} is none of the section's `files`")

    def _text(self, path: Path, live: Snapshot | None, wanted: State | None) -> Iterator[Step]:
        if live is not None and wanted is not None:
            for member in ("text", "sha256"):
                if member in wanted and live.state.get(member) == wanted[member]:
                    return
        old = read_bounded(path)
        content = self._content(path, old, wanted)
        change = FileChange(path, content, old, _mode((wanted or {}).get("mode", "0640")))
        self._check_reload()
        with draft(change) as drafted:
            try:
                self._validate(path, drafted)
            except ApplyFailed as error:
                raise CannotRollBack(f"HAProxy would refuse it: {error.detail}") from error
        verb = f"write {path} ({len(content)} bytes)" if content is not None else f"remove {path}"
        how = " ".join(self._settings.reload) or "SIGUSR2 to the master process"
        yield Step(
            f"{verb}, checked with {' '.join(self._settings.check)}; reload: {how}",
            "put the old file back, and reload",
            Act(partial(self._carry_out, change), partial(self._carry_out, _reverse(change))),
        )

    def _content(self, path: Path, old: bytes | None, wanted: State | None) -> bytes | None:
        """The bytes to write; secrets are those that stand in the file now."""
        if wanted is None:
            if path in self._config():
                raise CannotRollBack(f"HAProxy is started with {path}: it is not removed")
            return None
        text = wanted.get("text")
        if not isinstance(text, str):
            raise CannotRollBack(f"the text of {path} was not captured in that version")
        secrets: dict[str, str] = {}
        if old is not None:
            secrets = redacted(old.decode("utf-8", "replace"), self._redact).secrets
        made = _MARKER.sub(lambda found: secrets.get(found[0], found[0]), text)
        missing = [marker for marker in _MARKER.findall(text) if marker not in secrets]
        if missing:
            raise CannotRollBack(
                f"{path} had {len(missing)} secrets that are not in the file now: secrets are "
                "never captured; put them back by hand"
            )
        return made.encode()

    def _access(self, path: Path, live: Snapshot | None, wanted: State | None) -> Iterator[Step]:
        if live is None or wanted is None:
            return
        old, new = live.state.get("mode"), wanted.get("mode")
        if isinstance(old, str) and isinstance(new, str) and old != new:
            _mode(new)
            act = Act(partial(_chmod, path, new), partial(_chmod, path, old))
            yield Step(f"chmod {new} {path}", f"chmod {old} {path}", act)
        old, new = live.state.get("owner"), wanted.get("owner")
        if isinstance(old, str) and isinstance(new, str) and old != new:
            act = Act(partial(_chown, path, new), partial(_chown, path, old))
            yield Step(f"chown {new} {path}", f"chown {old} {path}", act)

    def _check_reload(self) -> None:
        if not self._settings.reload and not self._settings.pid_file:
            raise CannotRollBack("the section has neither `reload` nor `pid_file`")

    def _carry_out(self, change: FileChange) -> str:
        before = self._pid()
        answers = replace(
            change,
            partial(self._validate, change.path),
            partial(self._reload, change.path),
            partial(self._verify, before),
        )
        return "; ".join(answers)

    def _config(self) -> list[Path]:
        """The files that HAProxy is started with; drafts, which begin with a dot, are not."""
        given = self._settings.config
        patterns = given or [one for one in self._settings.files if one.endswith(".cfg")]
        found = [sorted(glob.glob(one, recursive=True)) for one in patterns]  # noqa: PTH207
        return [Path(path) for paths in found for path in paths]

    def _validate(self, path: Path, drafted: Path | None) -> str:
        """Has HAProxy check its whole configuration, with the draft in the place of the file."""
        config, own = self._config(), Path(os.path.realpath(path))
        if own not in [Path(os.path.realpath(one)) for one in config]:
            return ""
        files = [
            drafted if os.path.realpath(one) == str(own) and drafted else one for one in config
        ]
        return self._checked(files)

    def _checked(self, files: Sequence[Path]) -> str:
        command = [*self._settings.check]
        for file in files:
            command += ["-f", str(file)]
        try:
            return f"checked: {_run(command)}"
        except ApplyFailed as error:  # what HAProxy complains of is a line of the configuration
            raise ApplyFailed(redacted(error.detail, self._redact).text) from error

    def _reload(self, path: Path) -> str:
        config = self._config()
        if config and path not in config:
            self._checked(config)
        if self._settings.reload:
            _run(self._settings.reload)
            return "reloaded"
        try:
            pid = int(Path(self._settings.pid_file).read_text().split()[0])
            os.kill(pid, signal.SIGUSR2)
        except (OSError, ValueError, IndexError) as error:
            raise ApplyFailed(f"{self._settings.pid_file}: {error}") from error
        return f"SIGUSR2 sent to {pid}"

    def _pid(self) -> str:
        try:
            return info(self._socket.ask("show info")).get("Pid", "")
        except MunimentError:
            return ""

    def _verify(self, before: str) -> str:
        """Waits for another process to answer on the socket."""
        deadline = time.monotonic() + self._settings.reload_seconds
        while (now := self._pid()) in ("", before):
            if time.monotonic() > deadline:
                seconds = self._settings.reload_seconds
                raise ApplyFailed(f"no new process of HAProxy answered within {seconds:g} s")
            time.sleep(0.05)
        return f"process {now} has taken over"


def _reverse(change: FileChange) -> FileChange:
    return FileChange(change.path, change.old, change.content, change.mode)


def _run(command: Sequence[str]) -> str:
    """Runs a command and returns the last line that it said. Raises ApplyFailed."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyFailed(f"{command[0]}: {error}") from error
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        raise ApplyFailed(f"{' '.join(command)}: exit {done.returncode}: {said[-800:]}")
    return said.splitlines()[-1][:200] if said else "good"


def _mode(given: object) -> int:
    """The mode of a file. Raises CannotRollBack where it is none that a configuration has."""
    if not isinstance(given, str) or re.fullmatch("0?[0-7]{3}", given) is None:
        raise CannotRollBack(f"{str(given)[:20]!r} is no mode for a file of a configuration")
    return int(given, 8)


def _chmod(path: Path, mode: str) -> str:
    try:
        path.chmod(int(mode, 8))
    except (OSError, ValueError) as error:
        raise ApplyFailed(f"{path}: {error}") from error
    return f"mode {mode}"


def _chown(path: Path, owner: str) -> str:
    user, _, group = owner.partition(":")
    try:
        shutil.chown(path, user, group)
    except (OSError, LookupError) as error:
        raise ApplyFailed(f"{path}: {error}") from error
    return f"owner {owner}"
