"""A real Kubernetes API server over Debian's etcd; its audit events go to a file and a webhook."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from .certificate import HOST
from .load import find
from .process import Process, free_port
from .programs import go_program
from .waiting import wait_for

COST = "about 5 minutes of CPU and 2 GB below the Go caches"
VERSION = "v1.30.14"
FLAGS = " ".join(
    ["-s -w"]
    + [
        f"-X k8s.io/component-base/version.{name}={value}"
        for name, value in [("gitVersion", VERSION), ("gitMajor", 1), ("gitMinor", 30)]
    ]
)
TOKEN = "kube-admin-for-tests"
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [{"level": "RequestResponse"}],
}


@dataclass
class ApiServer:
    """A running API server: a client of its administrator, and the file of its audit events.

    `ca` is the file of its own certificate.
    """

    process: Process
    http: httpx.Client
    audit: Path
    ca: Path

    def events(self) -> list[dict[str, Any]]:
        """The audit events in its own file, in their order."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@contextlib.contextmanager
def kube_apiserver(
    directory: Path,
    webhook: str,
    token: str,
    trust: Path,
    *,
    users: Mapping[str, str] | None = None,
    policy: Path | None = None,
) -> Iterator[ApiServer]:
    """An API server whose audit webhook posts to `webhook` with `token`; gone afterwards.

    `webhook` must be https, with the certificate in `trust`: else the token is left out. `users`
    are the tokens of people, by their names; `policy` is the audit policy, else all is logged.
    """
    command = find("etcd", "etcd-server")
    program = go_program("kube-apiserver", heavy=COST, flags=FLAGS)
    with _etcd(command, directory) as etcd, contextlib.ExitStack() as stack:
        port = free_port()
        options = _options(directory, _kubeconfig(webhook, token, trust)) | {
            "etcd-servers": etcd,
            "secure-port": str(port),
        }
        if policy is not None:
            options["audit-policy-file"] = str(policy)
        people = [f"{one},{name},{name}\n" for name, one in (users or {}).items()]
        with (directory / "tokens.csv").open("a") as tokens:
            tokens.writelines(people)
        arguments = [f"--{name}={value}" for name, value in options.items()]
        process = Process([str(program), *arguments], directory / "kube-apiserver.txt")
        stack.callback(process.end_group)
        process.wait_listening(port)
        http = httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            verify=False,
            timeout=60,
        )
        stack.enter_context(http)
        wait_for(lambda: http.get("/readyz").status_code == 200, "the API server to be ready")
        ca = directory / "certificates" / "apiserver.crt"
        yield ApiServer(process, http, directory / "audit.log", ca)


@contextlib.contextmanager
def _etcd(command: str, directory: Path) -> Iterator[str]:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    options = {
        "data-dir": directory / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    process = Process([command, *arguments, "--unsafe-no-fsync"], directory / "etcd.txt")
    try:
        process.wait_listening(int(client.rpartition(":")[2]))
        yield client
    finally:
        process.end_group()


def _options(directory: Path, webhook: dict[str, Any]) -> dict[str, str]:
    """The flags that say nothing of ports; the files that they name are written here."""
    key = rsa.generate_private_key(65_537, 2_048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files = {
        "service-account.key": private,
        "service-account.pub": public,
        "tokens.csv": f"{TOKEN},admin,1,system:masters\n".encode(),
        "policy.json": json.dumps(POLICY).encode(),
        "webhook.json": json.dumps(webhook).encode(),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return {
        "bind-address": "127.0.0.1",
        "cert-dir": str(directory / "certificates"),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-signing-key-file": str(directory / "service-account.key"),
        "service-account-key-file": str(directory / "service-account.pub"),
        "service-cluster-ip-range": "10.0.0.0/24",
        "authorization-mode": "RBAC",
        "token-auth-file": str(directory / "tokens.csv"),
        "audit-policy-file": str(directory / "policy.json"),
        "audit-log-path": str(directory / "audit.log"),
        "audit-webhook-config-file": str(directory / "webhook.json"),
        "audit-webhook-mode": "batch",
        "audit-webhook-batch-max-size": "50",
        "audit-webhook-batch-max-wait": "200ms",
        "audit-webhook-initial-backoff": "2s",
    }


def _kubeconfig(webhook: str, token: str, trust: Path) -> dict[str, Any]:
    cluster = {"server": webhook, "certificate-authority": str(trust), "tls-server-name": HOST}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "muniment", "cluster": cluster}],
        "users": [{"name": "audit", "user": {"token": token}}],
        "contexts": [{"name": "audit", "context": {"cluster": "muniment", "user": "audit"}}],
        "current-context": "audit",
    }
