"""OpenTelemetry logs over gRPC (OTLP/gRPC, `collector/logs/v1/logs_service.proto`).

Each log record becomes an entry: an ExportLogsServiceRequest with that one record. The answer
comes when all of them are durable.
"""

from __future__ import annotations

from muniment.errors import InputError
from muniment.receive.dialects import otlp
from muniment.receive.groups import Records
from muniment.receive.grpc.call import Call
from muniment.receive.grpc.keeping import Keeper

ACCEPTED = b""
"""An ExportLogsServiceResponse that says nothing: all records were taken."""


class OtlpLogs:
    """The service. `inner` names the parser of the lines in the records' bodies, if any."""

    name = "otlp-grpc"
    path = b"/opentelemetry.proto.collector.logs.v1.LogsService/Export"

    def __init__(self, keeper: Keeper, inner: str = "") -> None:
        self._keeper = keeper
        self._source = f"otlp/{inner}" if inner else "otlp"

    async def serve(self, call: Call) -> bytes:
        """Takes one request. Raises InputError, TooLarge, TryLater."""
        body = await call.message()
        if body is None:
            raise InputError("the call has no message")
        self._keeper.tally.bytes += len(body)
        records = await call.run(len(body), otlp.records, body, call.work.grow)
        self._keeper.tally.messages += len(records)
        if not call.gone:  # who gave up sends again
            await self._keeper.keep(call, self.name, [Records(self._source, records)])
        return ACCEPTED
