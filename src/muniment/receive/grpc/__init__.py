"""gRPC over HTTP/2: OTLP logs and Envoy's access log service."""

from __future__ import annotations

from muniment.receive.grpc.server import GrpcServer

__all__ = ["GrpcServer"]
