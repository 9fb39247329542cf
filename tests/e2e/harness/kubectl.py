"""A person who works at a Kubernetes API server with kubectl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kube_apiserver import ApiServer
from .programs import go_program


def kubectl() -> str:
    """Returns the program: the one that is installed, or one that is built."""
    found = shutil.which("kubectl")
    return found or str(go_program("kubectl", heavy="about a minute of CPU"))


@dataclass
class Person:
    """Somebody with a token."""

    api: ApiServer
    token: str
    directory: Path

    def patch(self, path: str, body: Any, kind: str = "merge") -> None:
        """Changes an object. `path` is that of the API, from /api on."""
        words = ["--type", kind, "-p", json.dumps(body)]
        part = path.rpartition("/")[2]
        if part in ("scale", "status"):
            words += ["--subresource", part]
        self.run("patch", *_named(path), *words)

    def create(self, thing: dict[str, Any]) -> None:
        self.run("create", "-f", "-", given=json.dumps(thing))

    def delete(self, path: str) -> None:
        self.run("delete", *_named(path))

    def run(self, *words: str, given: str = "") -> None:
        """Runs kubectl to its end, which must be a good one."""
        done = subprocess.run(
            [kubectl(), "--kubeconfig", str(self.kubeconfig()), *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(self.directory)},
        )
        assert done.returncode == 0, done.stderr

    def kubeconfig(self) -> Path:
        """Returns a file that says where the API server is, and who this is."""
        path = self.directory / f"{self.token}.kubeconfig"
        cluster = {
            "server": str(self.api.http.base_url).rstrip("/"),
            "certificate-authority": str(self.api.ca),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "one", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "one"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        return path


def _named(path: str) -> list[str]:
    """An object by its path, as kubectl names it: `-n shop ingresses.v1.networking.k8s.io web`."""
    parts = path.strip("/").split("/")
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    space = []
    if rest[0] == "namespaces" and len(rest) > 2:
        space, rest = ["-n", rest[1]], rest[2:]
    kind = f"{rest[0]}.{version}.{group}" if group else rest[0]
    return [*space, kind, rest[1]]
