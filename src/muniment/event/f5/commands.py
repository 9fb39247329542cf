"""What a command of tmsh, or a transaction of mcpd, does to what."""

from __future__ import annotations

import re

from muniment.event import ocsf
from muniment.event.acts_read import CREATE, DELETE, READ, UPDATE, Audit

_ACTIVITIES = {
    **dict.fromkeys(("create", "install", "generate", "cp", "publish"), CREATE),
    **dict.fromkeys(("list", "show", "cd", "pwd", "help", "quit"), READ),
    **dict.fromkeys(("modify", "load", "save", "edit", "mv", "reset-stats", "start"), UPDATE),
    **dict.fromkeys(("stop", "restart", "run", "send-mail", "submit", "revoke"), UPDATE),
    "delete": DELETE,
}
_MODULES = frozenset(
    ("ltm", "gtm", "net", "sys", "auth", "cm", "security", "apm", "asm", "pem", "util", "cli")
) | {"analytics", "ilx", "wom", "vcmp", "saas", "api-protection"}
# Components whose second word belongs to the component.
_TWO_WORDS = frozenset(
    ("profile", "monitor", "persistence", "data-group", "file", "crypto", "dns", "cipher", "auth")
) | {"message-routing", "alg", "global-settings", "tunnels", "ipsec", "fdb", "log-config"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[^ "]+')
_MOST_TOKENS = 16
_OBJECT = re.compile(r"\s*(?P<verb>[a-z_]+) \{ (?P<kind>[a-z0-9_]+) \{")
_NAME = re.compile(r'(?P<key>[a-z0-9_]*name) "(?P<name>[^"]*)"')
_MCPD = {"create": CREATE, "modify": UPDATE, "delete": DELETE, "create_if": CREATE}


def act_of_command(command: str, folder: str) -> Audit:
    """`modify ltm pool p1 ...` in a folder: verb, component and name.

    A name without a slash is one of the folder.
    """
    text = command.strip().removesuffix(";").strip()
    tokens = [token.strip('"') for token in _TOKEN.findall(text[:2048])[:_MOST_TOKENS]]
    verb = tokens[0] if tokens else ""
    made = Audit(text, activity=_ACTIVITIES.get(verb, ocsf.OTHER), operation=verb or None)
    words = [token.lstrip("/") for token in tokens[1:]]
    if not words or words[0] not in _MODULES:
        return made
    size = 3 if len(words) > 2 and words[1] in _TWO_WORDS else 2
    made.kind = " ".join(words[:size])
    made.operation = f"{verb} {made.kind}"
    rest = tokens[1 + size :]
    if not rest or rest[0] in ("{", "all") or rest[0].startswith("-"):
        return made
    name = rest[0]
    if not name.startswith("/") and folder.startswith("/"):
        name = f"{folder.rstrip('/')}/{name}"
    made.name = name
    if words[:2] == ["ltm", "pool"]:
        made.backend = name
    elif words[:2] == ["ltm", "virtual"]:
        made.frontend = name
    return made


def act_of_transaction(text: str) -> Audit:
    """`modify { pool { pool_name "/Common/p1" ... } }` as mcpd logs it."""
    match = _OBJECT.match(text)
    if match is None:
        return Audit(text)
    verb, kind = match["verb"], match["kind"]
    made = Audit(text, activity=_MCPD.get(verb, ocsf.OTHER), operation=f"{verb} {kind}", kind=kind)
    names = {found["key"]: found["name"] for found in _NAME.finditer(text, match.end(), 8192)}
    made.name = names.get(f"{kind}_name") or names.get("name") or next(iter(names.values()), None)
    if kind == "pool":
        made.backend = made.name
    elif kind == "virtual_server":
        made.frontend = made.name
    elif kind == "pool_member":
        made.backend = names.get("pool_name") or names.get("pool_member_pool_name")
    return made
