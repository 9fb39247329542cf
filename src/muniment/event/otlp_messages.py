"""OTLP log messages as the text that OTLP/JSON writes for them."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from muniment.event.rendering import Renderer


def renderer() -> Renderer:
    """A renderer of ExportLogsServiceRequest: ids in hex, enums as numbers."""
    files = []
    for module in (common_pb2, resource_pb2, logs_pb2, logs_service_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return Renderer(
        files,
        logs_service_pb2.ExportLogsServiceRequest.DESCRIPTOR.full_name,
        hexadecimal=("trace_id", "span_id"),
        enum_names=False,
    )
