"""The names in a data directory, for the node and for all that read its directory without it.

What stands under each of them is in docs/reference/files.md.
"""

from __future__ import annotations

LOGS, ATTACHMENTS = "logs", "attachments"
"""The evidence, log by log."""

KEYS, ACCESS = "keys", "access"
"""The folders of what is private."""

TOKENS = "tokens.json"
"""The file of the access tokens, in the folder ACCESS."""

INDEX = "index"
"""The folder of the index; it can be made anew."""

READ_ONLY = "read-only"
"""The folder of the marks on shards that this node does not write."""

ARCHIVE, RETENTION, WORM, COMPLETENESS = "archive", "retention", "worm", "completeness"
"""The folders of the node's own books."""

CLOSING = "closing"
"""The folder in which the shard of another node is made whole, to be archived."""

INSTANCE = "instance"
"""The file that tells this data directory from any other."""

FENCED = ".fenced"
"""What the name of a key ends with once another node has taken its shard over, not with `.key`."""

KNOWN = frozenset(
    (
        *(LOGS, ATTACHMENTS, KEYS, ACCESS, INDEX, READ_ONLY),
        *(ARCHIVE, RETENTION, WORM, COMPLETENESS, CLOSING, INSTANCE),
    )
)
"""All that may stand in a data directory."""
