"""BIG-IP's audit log and the messages of its daemons.

    01420002:5: AUDIT - pid=16322 user=root folder=/Common module=(tmos)# status=[Command OK]
        cmd_data=modify ltm pool p1 members modify { 10.0.0.1:80 { session user-disabled } }
    01070417:5: AUDIT - client tmui, user admin - transaction #17-2 - object 0 -
        modify { pool { pool_name "/Common/p1" ... } } [Status=Command OK]
    01070417:6: AUDIT - user ann - RAW: httpd(pam_audit): user=ann(ann) partition=[All]
        level=Administrator tty=(unknown) host=10.0.0.9 attempts=1 start="..."
    [I][17][23 Jul 2023 12:00:00 UTC][ForwarderPassThroughWorker] {"user":"local/admin",...}

`level daemon[pid]: ` may stand before them, and before messages without a code, as those of an
iRule:

    info tmm1[1234]: Rule /Common/redirect <HTTP_REQUEST>: what its `log` command wrote
"""

from __future__ import annotations

import re

import polars as pl

from muniment.event import ocsf
from muniment.event.acts_read import (
    CREATE,
    DELETE,
    LOGOFF,
    LOGON,
    READ,
    UPDATE,
    Audit,
    audit_events,
)
from muniment.event.f5.commands import act_of_command, act_of_transaction
from muniment.event.instants import instants
from muniment.event.objects import decode_object
from muniment.event.source import Context

PRODUCT, VENDOR = "BIG-IP", "F5"
_WHO = (
    r"(?:(?:(?P<host>[A-Za-z0-9_.-]{1,255}) )?(?P<level>[a-z]{3,9}) )?"
    r"(?P<daemon>[A-Za-z0-9_.()/-]{1,64})(?:\[(?P<pid>[0-9]+)\])?: "
)
_CODE = r"(?P<code>[0-9a-f]{8}):(?P<severity>[0-9]): "
_LINE = re.compile(rf"(?:{_WHO})?{_CODE}(?P<text>.*)", re.DOTALL)
_LEVEL = r"(?:emerg|alert|crit|err|error|warning|notice|info|debug)"
_RULE = r"Rule /[^ ]+ <[A-Z0-9_]+>: "
_PLAIN = re.compile(
    rf"(?:(?:(?P<host>[A-Za-z0-9_.-]{{1,255}}) )?(?P<level>{_LEVEL}) "
    rf"(?P<daemon>[A-Za-z0-9_.()/-]{{1,64}})(?:\[[0-9]+\])?: |(?={_RULE}))(?P<text>.*)",
    re.DOTALL,
)
_TMSH = re.compile(
    r"(?:pid=(?P<pid>[0-9]+) )?user=(?P<user>[^ ]*) folder=(?P<folder>[^ ]*) "
    r"module=\((?P<module>[^)]*)\)# status=\[(?P<status>[^\]]*)\] cmd_data=(?P<command>.*)",
    re.DOTALL,
)
_MCPD = re.compile(
    r"(?:client (?P<client>[^,]{0,256})(?:, tmsh-pid-[0-9]+)?, )?user (?P<user>[^ ]+) - "
    r"transaction (?P<transaction>[^ ]+) - object (?P<object>[^ ]+) - (?P<command>.*?)"
    r"(?: \[Status=(?P<status>[^\]]*)\])?",
    re.DOTALL,
)
_LOGIN = re.compile(
    r"user (?P<user>[^ ]+) - RAW: (?P<tool>[^:]{1,64}): user=(?P<name>[^ (]*)(?:\([^)]*\))?"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_FAILED = re.compile(
    r"(?:user (?P<user>[^ ]+) - )?RAW: (?P<tool>[^:]{1,64}): [Uu]ser=?(?P<name>[^ ]*) "
    r"(?P<rest>.*failed to login after.*)",
    re.DOTALL,
)
_REST_LINE = re.compile(
    r"\[(?P<level>[A-Z])\]\[[0-9]+\]\[(?P<time>[^\]]*)\]\[(?P<worker>[^\]]*)\] (?P<json>\{.*\})",
    re.DOTALL,
)
_PAIR = re.compile(r'([a-z_]+)=(\[[^\]]*\]|\([^)]*\)|""[^"]*""|"[^"]*"|[^ ]+)')
_MONITOR = re.compile(
    r"Pool (?P<pool>/[^ ]+) member (?P<member>/[^ ]+) (?:monitor|session) status (?P<state>[^.]+)"
)
_VIRTUAL = re.compile(
    r"(?:SNMP_TRAP: )?Virtual (?:Server |Address )?(?P<name>/?[^ ]+) (?:has become|.*?changed?)"
    r" (?P<state>.*)"
)
_ANY_WHO = re.sub(r"\?P<[a-z]+>", "?:", _WHO)
_ANY_PLAIN = (
    rf"(?:[A-Za-z0-9_.-]{{1,255}} )?{_LEVEL} [A-Za-z0-9_.()/-]{{1,64}}(?:\[[0-9]+\])?: |{_RULE}"
)
STARTS = (
    rf"^(?:(?:{_ANY_WHO})?(?:[0-9a-f]{{8}}:[0-9]: |AUDIT - )|\[[A-Z]\]\[[0-9]+\]\[|{_ANY_PLAIN})"
)
CERTAIN = rf"^(?:{_ANY_WHO})?01[0-9a-f]{{6}}:[0-9]: AUDIT - "
_HEADED = (
    r"^(?:<[0-9]{1,3}>)?[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [^ ]+ "
    r"(?P<rest>[a-z]{3,9} [A-Za-z0-9_.()/-]{1,64}(?:\[[0-9]+\])?: (?s:.*))$"
)
_WORDS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_SEVERITY = {str(number): word for number, word in enumerate(_WORDS)}
_REST_ACTIVITIES = {"POST": CREATE, "GET": READ, "PUT": UPDATE, "PATCH": UPDATE, "DELETE": DELETE}
_FAULT = "the line ends before BIG-IP's message does"


def with_daemon(lines: pl.Series, header: pl.DataFrame) -> pl.DataFrame:
    """The header of lines whose tag is `level daemon[pid]`, as BIG-IP writes its own files."""
    rest = lines.str.extract(_HEADED)
    if rest.null_count() == len(rest):
        return header
    there = pl.lit(rest.is_not_null())
    host = pl.lit(lines.str.extract(r"^(?:<[0-9]{1,3}>)?.{15} ([^ ]+) "))
    stamp = pl.lit(lines.str.extract(r"^(?:<[0-9]{1,3}>)?(.{15}) "))
    return header.with_columns(
        pl.when(there).then(pl.lit(rest)).otherwise("body").alias("body"),
        pl.when(there).then(host).otherwise("hostname").alias("hostname"),
        pl.when(there).then(stamp).otherwise("stamp").alias("stamp"),
    )


def parse(lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG001
    """Events of lines that match `STARTS`."""
    return audit_events([_read(line) for line in lines.to_list()], PRODUCT, VENDOR)


def _read(line: str) -> Audit:
    rest = _REST_LINE.fullmatch(line)
    if rest is not None:
        return _rest(rest)
    found = _LINE.fullmatch(line)
    if found is None:
        plain = _PLAIN.fullmatch(line)
        if plain is None or plain["text"].startswith("AUDIT - "):
            return Audit(line, fault=_FAULT)
        made = _message(plain["text"].strip(), None, plain["level"], plain["daemon"])
        made.host = plain["host"]
        return made
    text, code = found["text"].strip(), found["code"]
    level = found["level"] or _SEVERITY.get(found["severity"])
    if not text.startswith("AUDIT - "):
        made = _message(text, code, level, found["daemon"])
        made.host = found["host"]
        return made
    made = _audit(text.removeprefix("AUDIT - "), found["daemon"])
    made.code, made.level, made.host = code, level, found["host"]
    if made.pid is None and found["pid"] is not None and len(found["pid"]) < 19:
        made.pid = int(found["pid"])
    return made


def _audit(text: str, daemon: str | None) -> Audit:
    tmsh = _TMSH.fullmatch(text)
    if tmsh is not None:
        made = act_of_command(tmsh["command"], tmsh["folder"])
        made.user, made.tool = tmsh["user"] or None, daemon or "tmsh"
        made.good, made.outcome = _went_well(tmsh["status"]), tmsh["status"]
        if tmsh["pid"] and len(tmsh["pid"]) < 19:
            made.pid = int(tmsh["pid"])
        return made
    failed = _FAILED.fullmatch(text)
    if failed is not None:
        return _login(failed, text, good=False)
    login = _LOGIN.fullmatch(text)
    if login is not None:
        return _login(login, text, good=True)
    mcpd = _MCPD.fullmatch(text)
    if mcpd is not None:
        made = act_of_transaction(mcpd["command"])
        made.user, made.tool = mcpd["user"], mcpd["client"] or daemon
        made.outcome = mcpd["status"]
        made.good = None if mcpd["status"] is None else _went_well(mcpd["status"])
        made.rest["transaction"] = mcpd["transaction"]
        if mcpd["status"] is None:
            made.rest["truncated"] = True
        return made
    return Audit(text, fault=_FAULT)


def _went_well(status: str) -> bool:
    return status.strip().lower() == "command ok"


def _login(match: re.Match[str], text: str, *, good: bool) -> Audit:
    given = {key: value.strip('"') for key, value in _PAIR.findall(match["rest"][:4096])}
    host = given.get("host") or ""
    ended = "end" in given and good
    return Audit(
        text,
        class_uid=ocsf.AUTHENTICATION,
        activity=LOGOFF if ended else LOGON,
        user=match["name"] or match["user"],
        tool=match["tool"],
        client=host if re.fullmatch(r"[0-9A-Fa-f.:]*[.:][0-9A-Fa-f.:]*", host) else None,
        good=good,
        rest={n: v for n, v in given.items() if n != "host"},
    )


def _rest(match: re.Match[str]) -> Audit:
    """A line of `restjavad-audit`: a request to iControl REST."""
    value = decode_object(match["json"])
    if isinstance(value, str):
        return Audit(match["json"], fault=value)
    method, uri, status = (value.pop(name, None) for name in ("method", "uri", "status"))
    user, client = value.pop("user", None), value.pop("from", None)
    path = re.sub(r"^[a-z]+://[^/]*", "", uri).partition("?")[0] if isinstance(uri, str) else ""
    kind, name = _rest_object(path)
    number = status if isinstance(status, int) and not isinstance(status, bool) else None
    verb = method if isinstance(method, str) else "?"
    stamp = instants([_iso(match["time"])]).dt.epoch("us").item()
    return Audit(
        f"{verb} {path}",
        activity=_REST_ACTIVITIES.get(verb, ocsf.OTHER),
        operation=f"{verb} {path}",
        kind=kind,
        name=name,
        user=user.removeprefix("local/") if isinstance(user, str) else None,
        tool=match["worker"] or None,
        client=client
        if isinstance(client, str) and re.fullmatch(r"[0-9A-Fa-f.:]+", client)
        else None,
        good=None if number is None else 100 <= number < 400,
        outcome=None if number is None else str(number),
        micros=stamp,
        rest={name: inner for name, inner in value.items() if inner is not None},
    )


def _iso(stamp: str) -> str | None:
    """`23 Jul 2023 12:00:00 UTC` as RFC 3339; other zones are not known here."""
    match = re.fullmatch(r"([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9:]{8}) (?:UTC|GMT)", stamp)
    months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    if match is None or months.find(match[2]) % 3:
        return None
    return f"{match[3]}-{months.find(match[2]) // 3 + 1:02}-{match[1]}T{match[4]}Z"


def _rest_object(path: str) -> tuple[str | None, str | None]:
    """`/mgmt/tm/ltm/pool/~Common~p1/members/~Common~10.0.0.1:80` as a kind and a name."""
    parts = [part for part in path.split("/") if part]
    if parts[:2] != ["mgmt", "tm"] or len(parts) < 4:
        return "/".join(parts[:3]) or None, None
    kind = " ".join(parts[2:4])
    names = [part.replace("~", "/") for part in parts[4:]]
    return kind, names[0] if names else None


def _message(text: str, code: str | None, level: str | None, daemon: str | None) -> Audit:
    made = Audit(text, class_uid=ocsf.APPLICATION_LIFECYCLE, code=code, level=level, tool=daemon)
    member, virtual = _MONITOR.match(text), _VIRTUAL.match(text)
    made.app = daemon or "bigip"
    state = ""
    if member is not None:
        made.backend, made.server, state = member["pool"], member["member"], member["state"]
        made.app = f"{made.backend} {made.server}"
    elif virtual is not None:
        made.frontend, state = virtual["name"], virtual["state"]
        made.app = made.frontend
    made.activity = _activity(state)
    return made


def _activity(state: str) -> int:
    word = state.strip().lower()
    if word.startswith(("up", "available")):
        return ocsf.START
    if word.startswith(("down", "unavailable", "forced down")):
        return ocsf.STOP
    return ocsf.ENABLE if word.startswith("enabled") else ocsf.OTHER
