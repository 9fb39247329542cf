"""The command line. Each command lives in a module of its own, which is loaded when it is used."""

from __future__ import annotations

import click

from muniment import __version__
from muniment.cli.lazy import LazyGroup

__all__ = ["main"]

_CONTEXT = {"help_option_names": ["-h", "--help"]}

main = LazyGroup(
    name="muniment",
    context_settings=_CONTEXT,
    help="Muniment: the evidence log for load balancers and Kubernetes ingress.",
    epilog=(
        "Exit codes: 0 well, 1 the answer is no (bad evidence, something was not sent), "
        "2 could not do it."
    ),
    commands_at={
        "serve": ("muniment.cli.serve:serve", "Receive, keep, index and prove entries."),
        "up": ("muniment.cli.up:up", "Run a whole fleet on this machine."),
        "send": ("muniment.cli.send:send", "Send log files, without loss or duplicates."),
        "capture": ("muniment.cli.capture:capture", "Follow logs and state here, and ship them."),
        "search": ("muniment.cli.search:search", "Find entries by field, text and time."),
        "sql": ("muniment.cli.sql:sql", "Ask the index in SQL (read-only)."),
        "tail": ("muniment.cli.tail:tail", "Follow new entries as they become durable."),
        "objects": ("muniment.cli.history.objects:objects", "List what there is a history of."),
        "history": ("muniment.cli.history.versions:history", "List the versions of an object."),
        "show": ("muniment.cli.history.versions:show", "Print what an object was."),
        "diff": ("muniment.cli.history.difference:diff", "Compare two versions of an object."),
        "blame": ("muniment.cli.history.blame:blame", "Say who made each version."),
        "explain": ("muniment.cli.history.explain:explain", "Show what changed around a moment."),
        "trace": ("muniment.cli.history.trace:trace", "Follow one request through all hops."),
        "parse": ("muniment.cli.parse:parse", "Try a parser on lines, without any server."),
        "completeness": (
            "muniment.cli.completeness:completeness",
            "Say what is missing: served, captured, and not here.",
        ),
        "prove": ("muniment.cli.prove:prove", "Write the proof of one entry to a file."),
        "check": ("muniment.cli.check:check", "Check a proof file, offline."),
        "verify": ("muniment.cli.verify:verify", "Recompute a whole log: is it intact?"),
        "restore": ("muniment.cli.restore:restore", "Make a data directory anew from a store."),
        "attach": ("muniment.cli.attach:attach", "Keep whole files beside the entries of a log."),
        "attachment": ("muniment.cli.attach:attachment", "Fetch an attachment, checked."),
        "worm": ("muniment.cli.worm:worm", "Prove that stores keep what they promise."),
        "hold": ("muniment.cli.hold:hold", "Place, list and release legal holds."),
        "retention": ("muniment.cli.retention:retention", "Show how long a log is kept."),
        "mirror": ("muniment.cli.mirror:mirror", "Show what is mirrored from other nodes."),
        "edge": ("muniment.cli.edge:edge", "Configure and run the balancer of a fleet."),
        "takeover": ("muniment.cli.takeover:takeover", "Go on with the shards of a dead node."),
        "promote": ("muniment.cli.promote:promote", "Make a backup site the one that is written."),
        "rollback": ("muniment.cli.rollback:rollback", "Put an object back to a version."),
        "index": ("muniment.cli.index:index", "Work on the disposable search index."),
        "tokens": ("muniment.cli.tokens:tokens", "Make, list and revoke access tokens."),
        "doctor": ("muniment.cli.doctor:doctor", "Look for what is wrong with this set-up."),
    },
)

click.version_option(__version__, prog_name="muniment", message="%(prog)s %(version)s")(main)
