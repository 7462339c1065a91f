"""The standard gRPC health check, `grpc.health.v1.Health/Check`, without generated code: its two messages
have one field each."""

from __future__ import annotations

import asyncio
from typing import Any

from vnodectl.runtime.probing.outcome import SUCCESS, Outcome, failure
from vnodectl.runtime.probing.spec import Grpc

_METHOD = "/grpc.health.v1.Health/Check"
_SERVING = 1
_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(action: Grpc, host: str, timeout: float) -> Outcome:
    """Success is SERVING. In the clear, to the pod's own address, as a kubelet does it."""
    from grpclib.client import Channel, UnaryUnaryMethod
    from grpclib.const import Status
    from grpclib.encoding.base import CodecBase
    from grpclib.exceptions import GRPCError, StreamTerminatedError

    class Plain(CodecBase):
        """Messages are bytes already."""

        __content_subtype__ = "proto"

        def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002
            return bytes(message)

        def decode(self, data: bytes, message_type: Any) -> bytes:  # noqa: ARG002
            return data

    channel = Channel(host, action.port, codec=Plain())
    method: UnaryUnaryMethod[bytes, bytes] = UnaryUnaryMethod(channel, _METHOD, bytes, bytes)
    try:
        async with asyncio.timeout(timeout):
            answer = await method(request(action.service))
    except TimeoutError:
        return failure(f"timeout: health rpc did not complete within {timeout:g}s")
    except GRPCError as error:
        if error.status is Status.UNIMPLEMENTED:
            return failure("this server does not implement the grpc health protocol (grpc.health.v1.Health)")
        return failure(f"health rpc probe failed: {error.status.name}: {error.message or ''}".rstrip(": "))
    except (OSError, StreamTerminatedError) as error:
        return failure(f"failed to connect service {host}:{action.port}: {error}")
    finally:
        channel.close()
    serving = status(answer)
    if serving == _SERVING:
        return SUCCESS
    return failure(f'service unhealthy (responded with "{_NAMES.get(serving, serving)}")')


def request(service: str) -> bytes:
    """`HealthCheckRequest{service = 1}` in protobuf: field 1, length-delimited."""
    name = service.encode()
    if not name:
        return b""
    return b"\x0a" + _varint(len(name)) + name


def status(answer: bytes) -> int:
    """`HealthCheckResponse{status = 1}`: field 1, a varint; absent is 0."""
    if answer[:1] != b"\x08":
        return 0
    value = shift = 0
    for byte in answer[1:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
