"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEFAULT_URL = "http://127.0.0.1:8470"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)

Command = TypeVar("Command", bound=Callable[..., Any])


def server_options(command: Command) -> Command:
    """Adds --url, --token and --ca: which server to speak to, and as whom."""
    for option in (
        click.option(
            "--ca",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Certificates that the server's is checked against (default: the system's).",
        ),
        click.option(
            "--token",
            envvar="MUNIMENT_TOKEN",
            help="Access token; better in MUNIMENT_TOKEN, which no process list shows.",
        ),
        click.option(
            "--url",
            envvar="MUNIMENT_URL",
            default=DEFAULT_URL,
            show_default=True,
            callback=lambda _ctx, _param, value: check_url(value),
            help="Address of the server; also MUNIMENT_URL.",
        ),
    ):
        command = option(command)
    return command


def log_option(command: Command) -> Command:
    """Adds --log."""
    return click.option(
        "--log",
        envvar="MUNIMENT_LOG",
        default="default",
        show_default=True,
        callback=_check_log,
        help="Name of the log; also MUNIMENT_LOG.",
    )(command)


def json_option(help_text: str) -> Callable[[Command], Command]:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def data_option(command: Command) -> Command:
    """Adds --data, the data directory of a server on this machine."""
    return click.option(
        "--data",
        envvar="MUNIMENT_DATA",
        default="muniment-data",
        show_default=True,
        type=click.Path(path_type=Path),
        help="Data directory; also MUNIMENT_DATA.",
    )(command)


def agent_option(command: Command) -> Command:
    """Adds --config, the configuration of the agent on this machine."""
    return click.option(
        "--config",
        envvar="MUNIMENT_CAPTURE",
        default="/etc/muniment/capture.toml",
        show_default=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="The agent's configuration; also MUNIMENT_CAPTURE.",
    )(command)


def check_source(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A source type, as in `?as=haproxy`."""
    if not _SOURCE.fullmatch(value):
        raise click.BadParameter("use a-z, 0-9, `.`, `_` and `-`, 64 at most")
    return value


def check_url(value: str) -> str:
    """Returns the address of a server without a slash at its end."""
    if not re.match(r"https?://[^/\s]", value):
        raise click.BadParameter(f"{value!r} does not begin with http:// or https:// and a host")
    return value.rstrip("/")


def config_directory() -> Path:
    """Returns $XDG_CONFIG_HOME/muniment, by default ~/.config/muniment."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def state_directory() -> Path:
    """Returns $XDG_STATE_HOME/muniment, by default ~/.local/state/muniment."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def _xdg(variable: str, default: str) -> Path:
    """The XDG Base Directory specification: relative paths in the variables are ignored."""
    base = Path(os.environ.get(variable, ""))
    return (base if base.is_absolute() else Path.home() / default) / "muniment"


def _check_log(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no name of a log")
    return value
