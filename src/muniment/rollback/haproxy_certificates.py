"""Puts a certificate back from the PEM file on disk: keys are never captured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muniment.balancer.haproxy import StatsSocket, word
from muniment.capture.snapshot import Snapshot, State
from muniment.capture.systems.certificates import described
from muniment.errors import InputError, MunimentError
from muniment.rollback.files import read_bounded
from muniment.rollback.haproxy_acts import Act, obeyed
from muniment.rollback.port import CannotRollBack, Step


def certificate(socket: StatsSocket, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
    """Returns the step that loads the file again, if it holds what is wanted."""
    if live is None or wanted is None:
        raise CannotRollBack("certificates are added and removed by crt-lists: roll back the file")
    fingerprint = wanted.get("sha1")
    if live.state.get("sha1") == fingerprint:
        return ()
    file = Path(live.names[0])
    pem = _pem(file, str(fingerprint))
    own = word(str(file))
    return (
        Step(
            f"set ssl cert {own} from the file on disk (SHA-1 {fingerprint}), and commit",
            "",
            Act(lambda: _load(socket, own, pem)),
        ),
    )


def _pem(file: Path, fingerprint: str) -> str:
    needed = f"keys are never captured: put the PEM file of SHA-1 {fingerprint} to {file} first"
    data = read_bounded(file) if file.is_absolute() else None
    if data is None:
        raise CannotRollBack(f"{file} is not there; {needed}")
    try:
        found = described(data)
    except InputError as error:
        raise CannotRollBack(f"{file}: {error.detail}; {needed}") from error
    if found is None or found.get("sha1") != fingerprint:
        raise CannotRollBack(f"{file} holds another certificate; {needed}")
    if b"PRIVATE KEY" not in data:
        data += b"\n" + (read_bounded(file.with_name(f"{file.name}.key")) or b"")
    lines = data.decode("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if line.strip())


def _load(socket: StatsSocket, own: str, pem: str) -> str:
    try:
        obeyed(socket, f"set ssl cert {own} <<\n{pem}\n", r".*Transaction (?:created|updated).*")
        return obeyed(socket, f"commit ssl cert {own}", r".*Success!.*").splitlines()[-1]
    except MunimentError:
        socket.ask(f"abort ssl cert {own}")
        raise
