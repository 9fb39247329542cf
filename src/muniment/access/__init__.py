"""Who may do what: callers, their scopes, tokens, and what a browser may be made to do."""

from __future__ import annotations

from muniment.access.caller import Caller, Scope
from muniment.access.guard import Guard
from muniment.access.shared import ManagedElsewhere, SharedTokens
from muniment.access.tokens import Tokens, check_tokens

__all__ = [
    "Caller",
    "Guard",
    "ManagedElsewhere",
    "Scope",
    "SharedTokens",
    "Tokens",
    "check_tokens",
]
