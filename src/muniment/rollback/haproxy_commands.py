"""Commands that put servers, frontends and process settings back (management guide, 9.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from muniment.balancer.haproxy import Refused, StatsSocket, word
from muniment.capture.snapshot import Json, State
from muniment.rollback.haproxy_acts import Act, command, insisting, obeyed
from muniment.rollback.port import CannotRollBack, Step

DELETE_SECONDS = 10.0
"""How long connections of a server that is to be removed may take to end."""

_MOVED = r"(?:(?:IP|port) changed|no need to change).*"
_NO_COMPLAINT = r"(?!.*(?:cannot|not |[Nn]o such|[Ii]nvalid|fail|missing|[Rr]equire)).*"
_OF_CONFIGURATION = ("cookie", "backup")
_UNTOLD = ("ssl", "fqdn", "cookie", "check", "agent", "backup")
"""Members of a server whose presence says that more was configured than its state tells."""


def server(
    socket: StatsSocket, name: str, live: State | None, wanted: State | None
) -> Sequence[Step]:
    """Returns the steps for `backend/server`. Raises CannotRollBack."""
    own = "/".join(map(word, name.split("/")))
    if wanted is None:
        return _remove(socket, own, live or {})
    if live is None:
        return _add(socket, own, wanted)
    for member in _OF_CONFIGURATION:
        if live.get(member) != wanted.get(member):
            raise CannotRollBack(f"{member} is set by the configuration alone: roll back the file")
    return tuple(_update(socket, own, live, wanted))


def _update(socket: StatsSocket, own: str, live: State, wanted: State) -> Iterator[Step]:
    def differs(*members: str) -> bool:
        return any(live.get(member) != wanted.get(member) for member in members)

    if differs("fqdn"):
        if not (live.get("fqdn") and wanted.get("fqdn")):
            raise CannotRollBack("a host name cannot be added or removed: roll back the file")
        yield _set(socket, own, "fqdn", live.get("fqdn"), wanted.get("fqdn"), _NO_COMPLAINT)
    elif differs("address", "port") and not wanted.get("fqdn"):
        yield _address(socket, own, live, wanted)
    if differs("weight"):
        yield _set(socket, own, "weight", live.get("weight"), wanted.get("weight"))
    if differs("maxconn"):
        yield _maxconn(socket, f"server {own}", live, wanted)
    if differs("ssl"):
        on, off = ("on", "off") if wanted.get("ssl") else ("off", "on")
        yield _set(socket, own, "ssl", off, on)
    for side in ("check", "agent"):
        yield from _checks(socket, own, side, live, wanted)
    if differs("admin"):
        yield _admin(socket, own, live, wanted)


def _set(socket: StatsSocket, own: str, what: str, old: Json, new: Json, says: str = "") -> Step:
    undo = f"set server {own} {what} {_value(what, old)}" if old is not None else ""
    return command(socket, f"set server {own} {what} {_value(what, new)}", undo, says)


def _value(what: str, value: Json) -> str:
    """A member of a state as one word of a command: whoever made the state up adds no command."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if not isinstance(value, str):
        raise CannotRollBack(f"the version does not say the {what}")
    try:
        return word(value)
    except Refused as error:
        raise CannotRollBack(f"{what}: {error.detail}") from error


def _address(socket: StatsSocket, own: str, live: State, wanted: State) -> Step:
    def place(state: State) -> str:
        if state.get("address") in ("", "-"):
            raise CannotRollBack("the server has no address that could be set")
        address, port = (_value(member, state.get(member)) for member in ("address", "port"))
        return f"set server {own} addr {address} port {port}"

    return command(socket, place(wanted), place(live), _MOVED)


def _maxconn(socket: StatsSocket, of: str, live: State, wanted: State) -> Step:
    """Sets a maximum; no maximum is 0."""
    new, old = (_value("maxconn", state.get("maxconn") or 0) for state in (wanted, live))
    return command(socket, f"set maxconn {of} {new}", f"set maxconn {of} {old}")


def _checks(socket: StatsSocket, own: str, side: str, live: State, wanted: State) -> Iterator[Step]:
    word_of = {"check": "health", "agent": "agent"}[side]
    if (side in live) != (side in wanted):
        raise CannotRollBack(f"the {side} is set up by the configuration alone: roll back the file")
    for member, what in ((f"{side}_address", f"{side}-addr"), (f"{side}_port", f"{side}-port")):
        if live.get(member) != wanted.get(member):
            yield _set(socket, own, what, live.get(member), wanted.get(member), _NO_COMPLAINT)
    if live.get(side) != wanted.get(side):
        verbs = ("enable", "disable") if wanted[side] else ("disable", "enable")
        yield command(socket, f"{verbs[0]} {word_of} {own}", f"{verbs[1]} {word_of} {own}")


def _admin(socket: StatsSocket, own: str, live: State, wanted: State) -> Step:
    for state in (live, wanted):
        given = state.get("admin_by")
        holders = given if isinstance(given, list) else []
        others = [who for who in holders if who not in ("runtime", "config")]
        if others:
            raise CannotRollBack(f"{state.get('admin')} comes from {others[0]}, not from a command")
    return _set(socket, own, "state", live.get("admin"), wanted.get("admin"))


def _add(socket: StatsSocket, own: str, wanted: State) -> Sequence[Step]:
    untold = [member for member in _UNTOLD if member in wanted]
    if untold:
        raise CannotRollBack(
            f"it had more ({', '.join(untold)}) than its state tells: add it by hand, or roll back "
            "the file"
        )
    given = {name: _value(name, wanted.get(name)) for name in ("address", "port", "weight")}
    address = f"[{given['address']}]" if ":" in given["address"] else given["address"]
    text = f"add server {own} {address}:{given['port']} weight {given['weight']}"
    if "maxconn" in wanted:
        text += f" maxconn {_value('maxconn', wanted['maxconn'])}"
    gone = f"del server {own}"
    steps = [
        Step(text, gone, Act(lambda: obeyed(socket, text, ".*registered.*"), _delete(socket, own)))
    ]
    if wanted.get("admin") != "maint":
        state = f"set server {own} state"
        admin = _value("state", wanted.get("admin"))
        steps.append(command(socket, f"{state} {admin}", f"{state} maint"))
    return steps


def _remove(socket: StatsSocket, own: str, live: State) -> Sequence[Step]:
    steps: list[Step] = []
    if live.get("admin") != "maint":
        state = f"set server {own} state"
        steps.append(command(socket, f"{state} maint", f"{state} {live.get('admin')}"))
    return (*steps, Step(f"del server {own}", "", Act(_delete(socket, own))))


def _delete(socket: StatsSocket, own: str) -> Callable[[], str]:
    def once() -> str:
        return obeyed(socket, f"del server {own}", r".*[Dd]eleted.*")

    return lambda: insisting(once, DELETE_SECONDS)


def frontend(
    socket: StatsSocket, name: str, live: State | None, wanted: State | None
) -> Sequence[Step]:
    """Returns the steps for a frontend. Raises CannotRollBack."""
    if live is None or wanted is None:
        raise CannotRollBack("a frontend is made by the configuration alone: roll back the file")
    for member in ("mode", "rate_limit"):
        if live.get(member) != wanted.get(member):
            raise CannotRollBack(f"{member} is set by the configuration alone: roll back the file")
    steps: list[Step] = []
    if live.get("maxconn") != wanted.get("maxconn"):
        steps.append(_maxconn(socket, f"frontend {word(name)}", live, wanted))
    if live.get("status") != wanted.get("status"):
        if "stopped" in (live.get("status"), wanted.get("status")):
            raise CannotRollBack("a frontend that was shut down comes back with a reload alone")
        verbs = ("enable", "disable") if wanted.get("status") == "open" else ("disable", "enable")
        own = word(name)
        steps.append(command(socket, f"{verbs[0]} frontend {own}", f"{verbs[1]} frontend {own}"))
    return tuple(steps)


def process(socket: StatsSocket, live: State | None, wanted: State | None) -> Sequence[Step]:
    """Returns the steps for the settings of the process. Raises CannotRollBack."""
    if live is None or wanted is None:
        raise CannotRollBack("a process is started and ended by its service manager")
    steps: list[Step] = []
    if live.get("maxconn") != wanted.get("maxconn"):
        most, new = live.get("hard_maxconn"), wanted.get("maxconn")
        if isinstance(most, int) and isinstance(new, int) and new > most:
            raise CannotRollBack(f"maxconn cannot be more than {most} without a reload")
        steps.append(_maxconn(socket, "global", live, wanted))
    old, new = live.get("rate_limits"), wanted.get("rate_limits")
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() & new.keys()):
            if old[name] != new[name]:
                text = f"set rate-limit {name} global"
                rates = (_rate(name, new[name]), _rate(name, old[name]))
                steps.append(command(socket, f"{text} {rates[0]}", f"{text} {rates[1]}"))
    return tuple(steps)


def _rate(name: str, value: Json) -> int:
    """A limit as the command takes it: that of compression in kilobytes."""
    if not isinstance(value, int):
        raise CannotRollBack(f"the version does not say the rate limit {name}")
    return value // 1024 if name == "http-compression" else value
