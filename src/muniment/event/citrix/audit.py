"""Commands, logins and other messages of NetScaler."""

from __future__ import annotations

import re

from muniment.event import ocsf
from muniment.event.acts_read import CREATE, DELETE, LOGOFF, LOGON, READ, UPDATE, Audit

_COMMAND = re.compile(
    r"User (?P<user>.+?) - (?:ADM_User (?P<adm>.*?) - )?Remote_ip (?P<client>[^ ]+) - "
    r'Command "(?P<command>.*)" - Status "(?P<status>[^"]*)"(?P<more>.*)',
    re.DOTALL,
)
_PAIR = re.compile(
    r'(?P<key>[A-Z][A-Za-z_()]*(?: Time)?) (?:"(?P<quoted>[^"]*)"|(?P<bare>.*))', re.DOTALL
)
_STATE = re.compile(
    r'(?:"?(?P<name>[^"]+?)"? - State |"?(?P<other>[^"]+?)"? (?=UP|DOWN|OUT|ENA))'
    r"(?P<state>[A-Z_]+)\b"
)
# Before the bytes of an OTHERCONN_DELINK there is no dash.
_BETWEEN = re.compile(r" - |  (?=Total_bytes_)")
_WORD = re.compile(r'\\?"(?:[^"\\]|\\.)*?\\?"|[^ "]+')
_VERBS = {
    **dict.fromkeys(("add", "create", "import", "link", "install", "generate"), CREATE),
    **dict.fromkeys(("show", "stat", "sh", "get", "diff", "query", "ping"), READ),
    **dict.fromkeys(("set", "unset", "bind", "unbind", "enable", "disable", "rename"), UPDATE),
    **dict.fromkeys(("save", "update", "unlink", "switch", "sync", "force", "apply"), UPDATE),
    **dict.fromkeys(("reboot", "reset", "config", "batch", "init", "renumber"), UPDATE),
    **dict.fromkeys(("rm", "delete", "clear", "flush", "kill"), DELETE),
}
_GROUPS = frozenset(
    (
        *("lb", "cs", "cr", "gslb", "ssl", "ns", "system", "aaa", "vpn", "cache", "cmp", "rewrite"),
        *("responder", "policy", "authentication", "authorization", "audit", "dns", "ha", "tm"),
        *(
            "appfw",
            "appflow",
            "network",
            "snmp",
            "stream",
            "transform",
            "filter",
            "dos",
            "sc",
            "pq",
        ),
        *("cluster", "bot", "analytics", "ica", "rdp", "smpp", "db", "user", "utility", "lsn"),
    )
)
_STATES = {"UP": ocsf.START, "DOWN": ocsf.STOP, "OUT": ocsf.DISABLE, "ENABLED": ocsf.ENABLE}


def command(rest: str, feature: str) -> Audit:
    """An executed command; `feature` is the way that it came: CLI, GUI, API."""
    match = _COMMAND.fullmatch(rest)
    if match is None:
        return Audit(rest, fault="the line ends before its command does")
    text = match["command"].replace('\\"', '"')
    words = [word.strip('\\"') for word in _WORD.findall(text[:2048])[:8]]
    verb = words[0].lower() if words else ""
    made = Audit(text, activity=_VERBS.get(verb, ocsf.OTHER), operation=verb or None)
    size = 2 if len(words) > 1 and words[1].lower() in _GROUPS else 1
    kind = " ".join(words[1 : 1 + size])
    names = words[1 + size :]
    if verb in ("login", "logout"):
        made.class_uid = ocsf.AUTHENTICATION
        made.activity = LOGON if verb == "login" else LOGOFF
    elif kind:
        made.kind, made.operation = kind, f"{verb} {kind}"
        made.name = names[0] if names and not names[0].startswith("-") else None
    if kind.lower() in ("lb vserver", "cs vserver") and made.name:
        made.frontend = made.name
    made.user, made.client, made.tool = match["user"], match["client"], feature
    made.outcome, made.good = match["status"], match["status"].startswith("Success")
    if match["adm"] not in (None, "NONE", ""):
        made.rest["ADM_User"] = match["adm"]
    return made


def pairs(rest: str) -> dict[str, str]:
    """`Key value - Key "value"`; of two with the same key the first one counts."""
    found: dict[str, str] = {}
    for part in _BETWEEN.split(rest[:8192], 48)[:48]:
        pair = _PAIR.fullmatch(part.strip())
        if pair is not None:
            value = pair["quoted"] if pair["quoted"] is not None else pair["bare"]
            found.setdefault(pair["key"], value.strip())
    return found


def login(event: str, rest: str) -> Audit:
    """A log-in, a log-out, or one that failed; any other message where it names nobody."""
    given = pairs(rest)
    failed = "FAIL" in event
    client = given.pop("Client_ip", None) or given.pop("Remote_ip", None)
    user = given.pop("User", None)
    if client is None and user is None:
        return message(event, rest)
    return Audit(
        rest,
        class_uid=ocsf.AUTHENTICATION,
        activity=LOGOFF if "LOGOUT" in event else LOGON,
        user=user,
        client=client,
        good=not failed,
        outcome=given.get("Failure_reason"),
        level="warning" if failed else None,
        rest=dict(given),
    )


def message(event: str, rest: str) -> Audit:
    """A message about the appliance, or about a service that went up or down."""
    made = Audit(rest, class_uid=ocsf.APPLICATION_LIFECYCLE, app="netscaler")
    match = _STATE.match(rest)
    if match is not None:
        made.app = match["name"] or match["other"]
        made.activity = _STATES.get(match["state"].split("_")[0], ocsf.OTHER)
    if event.endswith("DOWN"):
        made.activity, made.level = ocsf.STOP, "warning"
    elif event.endswith("UP"):
        made.activity = ocsf.START
    return made
