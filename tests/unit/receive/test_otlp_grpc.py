"""OpenTelemetry logs over gRPC, by the gRPC project's own client."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_parts import EXPORT, Raw, bodies, framed, request, run, running
from receive_parts import until
from tests.authority import Authority, Issued

from muniment.access import Scope
from muniment.errors import Corrupt, MunimentError, Overloaded, StorageFailing
from muniment.receive.tls import tls_context

CODE = grpc.StatusCode


async def refusal(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value


def test_each_record_is_an_entry_that_says_where_it_came_from() -> None:
    async def scenario() -> None:
        async with running() as bench:
            assert await bench.export(request("one", "two")) == b""
            assert bodies(bench) == ["one", "two"]
            header = bench.log.split()[0][0]
            assert list(header) == ["at", "node", "via", "peer", "from", "as"]
            assert (header["via"], header["as"], header["from"]) == ("otlp-grpc", "otlp", "local")
            assert header["peer"].startswith("127.0.0.1:")
            assert bench.counts["otlp-grpc", "receive_entries"] == 2
            assert bench.counts["otlp-grpc", "receive_messages"] == 2
            assert bench.logs == ["default"]

    run(scenario)


def test_identical_records_are_as_many_entries() -> None:
    async def scenario() -> None:
        async with running(inner="nginx") as bench:
            await bench.export(request(*["the same"] * 1_000))
            assert bodies(bench) == ["the same"] * 1_000
            assert bench.log.split()[0][0]["as"] == "otlp/nginx"

    run(scenario)


def test_the_answer_waits_for_the_disk() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.log.hold = True
            call = asyncio.create_task(bench.export(request("one")))
            await until(lambda: bool(bench.log.held))
            await asyncio.sleep(0.05)
            assert not call.done()
            bench.log.release()
            assert await call == b""

    run(scenario)


def test_a_request_without_records_is_answered() -> None:
    async def scenario() -> None:
        async with running() as bench:
            assert await bench.export(b"") == b""
            assert await bench.export(request()) == b""
            assert bench.log.entries == []

    run(scenario)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_taken(compression: grpc.Compression) -> None:
    async def scenario() -> None:
        async with running() as bench:
            await bench.export(request(*["line " * 100] * 500), compression=compression)
            assert bodies(bench) == ["line " * 100] * 500

    run(scenario)


def test_large_requests_come_through_small_windows() -> None:
    async def scenario() -> None:
        async with running() as bench:
            await bench.export(request(*[f"{n:06} " + "x" * 1_000 for n in range(5_000)]))
            assert [body[:6] for body in bodies(bench)] == [f"{n:06}" for n in range(5_000)]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [Overloaded("full", retry_after=7), StorageFailing("no disk")])
@pytest.mark.parametrize("later", [False, True])
def test_what_is_refused_for_now_says_when_to_come_again(error: MunimentError, later: bool) -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.log.refusal, bench.log.fails_later = error, later
            refused = await refusal(bench.export(request("one")))
            assert (refused.code(), refused.details()) == (CODE.UNAVAILABLE, error.detail)
            trailers = dict(refused.trailing_metadata())
            status, info = Status.FromString(trailers["grpc-status-details-bin"]), RetryInfo()
            assert (status.code, status.message) == (14, error.detail)
            assert status.details[0].Unpack(info)
            assert info.retry_delay.seconds == getattr(error, "retry_after", 0)
            assert RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]) == info
            assert bench.log.entries == []

    asyncio.run(scenario())


def test_what_is_not_the_senders_fault_is_not_dropped_by_the_sender() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.log.refusal = Corrupt("00.seg", 3, "this", "that")
            assert (await refusal(bench.export(request("one")))).code() is CODE.UNAVAILABLE

    asyncio.run(scenario())


def test_bad_bytes_are_refused_for_good() -> None:
    async def scenario() -> None:
        async with running(max_message=10_000) as bench:
            for message in (b"\x0a\xff", b"not protobuf", bytes(10_001)):
                refused = await refusal(bench.export(message))
                assert refused.code() is CODE.INVALID_ARGUMENT, message
                assert refused.details()
            assert bench.counts["otlp-grpc", "receive_refused"] == 3
            await bench.export(request("still here"))
            assert bodies(bench) == ["still here"]

    run(scenario)


def test_a_token_names_the_sender_and_its_log() -> None:
    async def scenario() -> None:
        async with running(required=True) as bench:
            writer = bench.tokens.create("edge", [Scope.WRITE])
            reader = bench.tokens.create("auditor", [Scope.READ])
            wrong = writer[:-1] + ("A" if writer[-1] != "A" else "B")
            assert (await refusal(bench.export(request("x")))).code() is CODE.UNAUTHENTICATED
            for token, code in ((wrong, CODE.UNAUTHENTICATED), (reader, CODE.PERMISSION_DENIED)):
                metadata = [("authorization", f"Bearer {token}")]
                refused = await refusal(bench.export(request("x"), metadata=metadata))
                assert refused.code() is code
            assert bench.counts["grpc", "receive_denied"] == 3
            assert bench.log.entries == []
            await bench.export(request("x"), metadata=[("authorization", f"Bearer {writer}")])
            assert bench.log.split()[0][0]["from"] == "edge"

    run(scenario)


def test_without_a_token_what_was_forwarded_is_refused() -> None:
    async def scenario() -> None:
        async with running() as bench:
            refused = await refusal(
                bench.export(request("x"), metadata=[("x-forwarded-for", "192.0.2.1")])
            )
            assert refused.code() is CODE.UNAUTHENTICATED
            assert "forwarded" in (refused.details() or "")

    asyncio.run(scenario())


def test_other_services_and_codings_are_not_there() -> None:
    async def scenario() -> None:
        async with running() as bench:
            path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            refused = await refusal(bench.call(path, b""))
            assert refused.code() is CODE.UNIMPLEMENTED
            assert "TraceService" in (refused.details() or "")
            assert bench.counts["grpc", "receive_unknown"] == 1
            raw = await Raw.connect(bench)
            call = raw.open(grpc_encoding="snappy")
            await raw.send(call, framed(request("x"), 1), end=True)
            fields = await raw.status(call)
            assert fields["grpc-status"] == "12"
            assert "gzip" in fields["grpc-accept-encoding"]
            raw.close()

    run(scenario)


def test_a_call_that_was_given_up_before_it_was_whole_leaves_nothing() -> None:
    async def scenario() -> None:
        async with running() as bench:
            raw = await Raw.connect(bench)
            cut, reset = raw.open(), raw.open()
            whole = framed(request("x"))
            await raw.send(cut, whole[:-1], end=True)
            assert (await raw.status(cut))["grpc-status"] == "3"
            await raw.send(reset, whole[:-1])
            raw.h2.reset_stream(reset)
            await raw.flush()
            none = raw.open(EXPORT)
            await raw.send(none, b"", end=True)
            fields = await raw.status(none)
            assert fields["grpc-status"] == "3"
            assert b64decode(fields.get("grpc-status-details-bin", "")) == b""
            raw.close()
            assert bench.log.entries == []

    run(scenario)


def test_a_client_certificate_names_the_sender_and_a_stranger_does_not_get_in(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    server, client = authority.server(), authority.issue("edge-1")
    tls = tls_context(server.certificate, server.key, authority.certificate, ("h2",))

    def channel(port: int, shown: Issued | None) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(
            authority.certificate.read_bytes(),
            shown.key.read_bytes() if shown else None,
            shown.certificate.read_bytes() if shown else None,
        )
        return grpc.secure_channel(f"127.0.0.1:{port}", credentials)

    def export(port: int, shown: Issued | None) -> bytes:
        with channel(port, shown) as opened:
            return opened.unary_unary(EXPORT)(request("x"), timeout=20)

    async def scenario() -> None:
        async with running(required=True, tls=tls) as bench:
            assert await asyncio.to_thread(export, bench.port, client) == b""
            assert bench.log.split()[0][0]["from"] == "cert:edge-1"
            refused = await refusal(asyncio.to_thread(export, bench.port, None))
            assert refused.code() is CODE.UNAVAILABLE
            assert len(bench.log.entries) == 1

    run(scenario)
