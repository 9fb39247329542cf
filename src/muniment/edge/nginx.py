"""NGINX as the edge: `nginx.conf`, and the answer that says that it is ready."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from muniment.edge.balancer import Balancer
from muniment.edge.common import common, groups, relays
from muniment.edge.description import Description
from muniment.edge.jinja import filled
from muniment.edge.paths import PathClass
from muniment.edge.renderers import binary, complaint
from muniment.errors import SettingsError

CONFIG = "nginx.conf"
READY = "ready.json"
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_STREAM = "ngx_stream_module.so"


def render(description: Description) -> Mapping[str, str]:
    """Returns `nginx.conf` and `ready.json`.

    Raises SettingsError where the nodes' certificates have no name in common.
    """
    values = {
        **common(description),
        "scheme": "https" if description.tls.nodes_ca else "http",
        "nodes_name": _name(description),
        "with_methods": with_methods,
        "backends": [
            {"name": f"{one.role}_{one.scope}", "role": one.role, "nodes": one.servers}
            for one in groups(description)
        ],
        "streams": [
            {
                "name": one.name,
                "listen": one.stream.listen,
                "tls": one.stream.tls,
                "plain": one.plain,
                "allowed": one.allowed,
                "nodes": one.servers,
            }
            for one in relays(description)
        ],
    }
    return {CONFIG: filled("nginx.conf.j2", values), READY: '{"ready":true}\n'}


def check(directory: Path) -> str | None:
    """Asks NGINX whether it would take the files. Raises NoBinary where there is none."""
    return complaint([*command(directory), "-t", "-q"], directory)


def process(directory: Path) -> Balancer:
    """Returns an NGINX that can be started in a directory."""
    from muniment.edge.nginx_process import Nginx

    return Nginx(directory)


def command(directory: Path, *directives: str) -> list[str]:
    """Returns the command line of NGINX on the files of a directory. Raises NoBinary."""
    program = binary("nginx")
    loaded = [f"load_module {path};" for path in _modules(program)]
    given = " ".join([*loaded, *(f"{one};" for one in directives)])
    line = [program, "-p", f"{directory}/", "-c", CONFIG, "-e", "stderr"]
    return [*line, "-g", given] if given else line


def with_methods(one: PathClass) -> str:
    """Returns the pattern of a class for `METHOD:PATH`."""
    return re.sub(r"(?<!\[)\^", lambda _: f"^(?:{'|'.join(one.methods)}):", one.pattern)


def _name(description: Description) -> str:
    if description.tls.nodes_name:
        return description.tls.nodes_name
    names = {node.server_name for node in description.node}
    if len(names) > 1 and description.tls.nodes_ca is not None:
        raise SettingsError(
            "NGINX compares one name for all nodes of a group: give their certificates one DNS "
            "name in common, and say which in tls.nodes_name"
        )
    return next(iter(names), "localhost")


def _modules(program: str) -> list[Path]:
    """Returns the stream module, where it is a file that has to be loaded."""
    done = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=10, check=False)
    if "--with-stream=dynamic" not in done.stderr:
        return []
    return [path for one in MODULES if (path := Path(one, _STREAM)).exists()][:1]
