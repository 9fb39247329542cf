"""What the S3 servers of the tests have in common: an address, a key, buckets, connections."""

from __future__ import annotations

from itertools import count
from typing import Any

from muniment.settings.store import Connection
from muniment.store.s3_client import client_of

ACCESS_KEY, SECRET_KEY = "AKMUNIMENT", "SKMUNIMENT0"
REGION = "us-east-1"

_numbers = count(1)


class S3Server:
    """An S3 server at `endpoint`. Buckets get names of their own."""

    endpoint: str

    def connection(self, bucket: str, prefix: str = "", **more: Any) -> Connection:
        """Returns how Muniment connects to a bucket; `more` are fields of Connection."""
        fields = {
            "url": f"s3://{bucket}/{prefix}",
            "endpoint": self.endpoint,
            "region": REGION,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            **more,
        }
        return Connection.model_validate(fields)

    def client(self, bucket: str = "any") -> Any:
        """Returns the SDK's client, for what the store has no method for."""
        return client_of(self.connection(bucket))

    def plain_bucket(self, name: str = "") -> str:
        """Makes a bucket without versions and without locks; returns its name."""
        name = name or f"plain-{next(_numbers)}"
        self.client().create_bucket(Bucket=name)
        return name

    def versioned_bucket(self, name: str = "") -> str:
        """Makes a bucket that keeps versions, without locks; returns its name."""
        name = self.plain_bucket(name or f"versioned-{next(_numbers)}")
        self.client().put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}
        )
        return name

    def lock_bucket(self, name: str = "", *, mode: str = "", days: int = 0) -> str:
        """Makes a bucket with Object Lock, and a default retention where `days` are given."""
        name = name or f"locked-{next(_numbers)}"
        client = self.client()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        if days:
            rule = {"DefaultRetention": {"Mode": mode.upper(), "Days": days}}
            client.put_object_lock_configuration(
                Bucket=name,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
            )
        return name
