"""`muniment serve`: the node in the foreground."""

from __future__ import annotations

import logging
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import uvloop

from muniment.memory import keep_large_buffers
from muniment.node import Node
from muniment.settings import Settings, load


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Data directory.")
@click.option("--listen", metavar="IP:PORT", help="Address of the HTTP interface.")
@click.option("--role", "roles", metavar="ROLE,...", help="Of ingest, query, watch; default: all.")
@click.option("--syslog", metavar="IP:PORT|off", help="Address for syslog over UDP and TCP.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings (default muniment.toml).")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="PEM certificate chain.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="PEM private key.")
@click.option(
    "--serve-without-tls-and-tokens",
    is_flag=True,
    default=None,
    help="Let everybody who can reach the addresses write and read, in plain text.",
)
def serve(config: Path | None, **given: Any) -> None:
    """Receive, keep, index and prove entries, until SIGTERM or Ctrl-C.

    The default needs no settings. Each one can also be a variable (MUNIMENT_LISTEN) or a line in
    the TOML file (listen = "127.0.0.1:8470"); the command line goes before both.
    """
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # strangers cannot fill our log
    settings = load(given, config=config)
    _prepare_process()
    node = Node.open(settings)
    if node.first_token is not None:
        _show_token(node.first_token)
    uvloop.run(node.serve(_announce))
    sys.exit(node.exit_code)


def _announce(node: Node) -> None:
    """Says where everything is, line by line, for people and for scripts that wait for it."""
    settings = node.settings
    click.echo(f"Muniment is listening on {node.url}")
    click.echo(f"  syslog: {node.syslog or 'off'}{' (UDP and TCP)' if node.syslog else ''}")
    for name, address in node.addresses:
        if not name.startswith("syslog-") or ":" in name:
            click.echo(f"  {name.partition(':')[0]}: {address}")
    click.echo(f"  data: {settings.data.absolute()}")
    click.echo(f"  {_who(settings)}")
    sys.stdout.flush()


def _who(settings: Settings) -> str:
    if settings.tokens_required:
        return "every call needs a token"
    if settings.serve_without_tls_and_tokens:
        return "NO TLS, NO TOKENS: everybody who can reach these addresses may write and read"
    return "the users of this machine may write and read without a token"


def _show_token(token: str) -> None:
    click.echo("The admin token of this node, shown this once and stored only as a hash:")
    click.echo(f"  {token}")
    sys.stdout.flush()


def _prepare_process() -> None:
    """Takes the file descriptors that the system allows, and tunes malloc."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    keep_large_buffers()
