"""SPDY/3.1 frames to bytes and back, without input or output (SPDY protocol draft 3.1, section 2.6).

Header blocks are compressed with one zlib stream per direction for the life of a connection, so a
reader and a writer belong to exactly one connection, and a frame that cannot be read ends it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from vnodectl.runtime.streams.spdy_dictionary import DICTIONARY

VERSION: Final = 3
MAX_CONTROL_PAYLOAD: Final = 64 * 1024
"""Bytes of a control frame that are accepted. Every receiver must take 8192 (section 2.2.1)."""
MAX_HEADER_BLOCK: Final = 64 * 1024
"""Bytes of an inflated header block that are accepted."""
MAX_DATA_PAYLOAD: Final = 2**24 - 1

_FIN: Final = 0x01
_UNIDIRECTIONAL: Final = 0x02
_CLEAR_SETTINGS: Final = 0x01
_STREAM_ID: Final = 0x7FFFFFFF

Pairs = tuple[tuple[str, str], ...]


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetStatus(IntEnum):
    """Why a stream was ended (section 2.6.3)."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9
    FRAME_TOO_LARGE = 11


class GoAwayStatus(IntEnum):
    """Why a connection was ended (section 2.6.6)."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


INITIAL_WINDOW_SIZE_SETTING: Final = 7


class SpdyError(Exception):
    """What came is not SPDY/3.1; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """A new stream. Header names are lower-case."""

    stream_id: int
    headers: Pairs = ()
    fin: bool = False
    unidirectional: bool = False
    associated: int = 0
    priority: int = 0
    slot: int = 0


@dataclass(frozen=True, slots=True)
class SynReply:
    stream_id: int
    headers: Pairs = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Values by setting id; the flags of single settings (persistence) mean nothing here."""

    values: Mapping[int, int] = field(default_factory=dict)
    clear: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """Odd ids are the client's, even ones the server's; the other end sends the same back."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream_id: int
    status: int = GoAwayStatus.OK


@dataclass(frozen=True, slots=True)
class Headers:
    stream_id: int
    headers: Pairs = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """Stream 0 is the connection (new in 3.1)."""

    stream_id: int
    delta: int


@dataclass(frozen=True, slots=True)
class Data:
    stream_id: int
    data: bytes = field(repr=False)
    fin: bool = False


Frame = SynStream | SynReply | RstStream | Settings | Ping | GoAway | Headers | WindowUpdate | Data


# --- writing --------------------------------------------------------------------------------------


class FrameWriter:
    """Frames to bytes. Frames must be sent in the order in which they were written."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=6, zdict=DICTIONARY)

    def write(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream_id, data, fin):
                if len(data) > MAX_DATA_PAYLOAD:
                    raise ValueError("a data frame carries at most 2^24 - 1 bytes")
                return struct.pack(">II", stream_id, (_FIN if fin else 0) << 24 | len(data)) + data
            case SynStream():
                flags = (_FIN if frame.fin else 0) | (_UNIDIRECTIONAL if frame.unidirectional else 0)
                fixed = struct.pack(
                    ">IIBB", frame.stream_id, frame.associated, frame.priority << 5, frame.slot
                )
                return _control(FrameType.SYN_STREAM, flags, fixed + self._block(frame.headers))
            case SynReply(stream_id, headers, fin):
                return self._with_headers(FrameType.SYN_REPLY, stream_id, headers, fin)
            case Headers(stream_id, headers, fin):
                return self._with_headers(FrameType.HEADERS, stream_id, headers, fin)
            case RstStream(stream_id, status):
                return _control(FrameType.RST_STREAM, 0, struct.pack(">II", stream_id, status))
            case Settings(values, clear):
                entries = b"".join(struct.pack(">II", key, value) for key, value in values.items())
                payload = struct.pack(">I", len(values)) + entries
                return _control(FrameType.SETTINGS, _CLEAR_SETTINGS if clear else 0, payload)
            case Ping(ping_id):
                return _control(FrameType.PING, 0, struct.pack(">I", ping_id))
            case GoAway(last_stream_id, status):
                return _control(FrameType.GOAWAY, 0, struct.pack(">II", last_stream_id, status))
            case WindowUpdate(stream_id, delta):
                return _control(FrameType.WINDOW_UPDATE, 0, struct.pack(">II", stream_id, delta))

    def _with_headers(self, kind: FrameType, stream_id: int, headers: Pairs, fin: bool) -> bytes:
        return _control(kind, _FIN if fin else 0, struct.pack(">I", stream_id) + self._block(headers))

    def _block(self, headers: Pairs) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers:
            raw_name, raw_value = name.encode("latin-1"), value.encode("latin-1")
            parts += [struct.pack(">I", len(raw_name)), raw_name]
            parts += [struct.pack(">I", len(raw_value)), raw_value]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: FrameType, flags: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


# --- reading --------------------------------------------------------------------------------------


class FrameReader:
    """Bytes to frames, however the bytes are cut.

    A data frame is given in pieces as it comes (`fin` on the last), so that what is held back is
    never more than one control frame. Unknown control frames are skipped, as the protocol asks.
    """

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._data_stream = 0
        self._data_fin = False
        self._data_left = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises SpdyError; nothing may be fed after that.

        The iterator must be used up before the next call.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while True:
                if self._data_left:
                    piece = bytes(memoryview(buffer)[at : at + self._data_left])
                    if not piece:
                        return
                    at += len(piece)
                    self._data_left -= len(piece)
                    yield Data(self._data_stream, piece, self._data_fin and not self._data_left)
                    continue
                if len(buffer) - at < 8:
                    return
                first, second = struct.unpack_from(">II", buffer, at)
                flags, length = second >> 24, second & MAX_DATA_PAYLOAD
                if not first >> 31:
                    at += 8
                    self._data_stream, self._data_fin, self._data_left = first, bool(flags & _FIN), length
                    if not length:
                        yield Data(first, b"", self._data_fin)
                    continue
                if length > MAX_CONTROL_PAYLOAD:
                    raise SpdyError(f"a control frame of {length} bytes is too large")
                if len(buffer) - at < 8 + length:
                    return
                if first >> 16 & 0x7FFF != VERSION:
                    raise SpdyError(f"version {first >> 16 & 0x7FFF} instead of {VERSION}")
                payload = bytes(memoryview(buffer)[at + 8 : at + 8 + length])
                at += 8 + length
                frame = self._control(first & 0xFFFF, flags, payload)
                if frame is not None:
                    yield frame
        finally:
            del buffer[:at]

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame | None:
        try:
            known = FrameType(kind)
        except ValueError:
            return None
        try:
            return self._parsers[known](self, flags, payload)
        except struct.error as error:
            raise SpdyError(f"a {known.name} frame of {len(payload)} bytes is too short") from error

    def _syn_stream(self, flags: int, payload: bytes) -> Frame:
        stream_id, associated, priority, slot = struct.unpack_from(">IIBB", payload)
        return SynStream(
            stream_id & _STREAM_ID,
            self._block(payload[10:]),
            fin=bool(flags & _FIN),
            unidirectional=bool(flags & _UNIDIRECTIONAL),
            associated=associated & _STREAM_ID,
            priority=priority >> 5,
            slot=slot,
        )

    def _syn_reply(self, flags: int, payload: bytes) -> Frame:
        (stream_id,) = struct.unpack_from(">I", payload)
        return SynReply(stream_id & _STREAM_ID, self._block(payload[4:]), bool(flags & _FIN))

    def _headers(self, flags: int, payload: bytes) -> Frame:
        (stream_id,) = struct.unpack_from(">I", payload)
        return Headers(stream_id & _STREAM_ID, self._block(payload[4:]), bool(flags & _FIN))

    def _rst_stream(self, _: int, payload: bytes) -> Frame:
        stream_id, status = struct.unpack_from(">II", payload)
        return RstStream(stream_id & _STREAM_ID, status)

    def _settings(self, flags: int, payload: bytes) -> Frame:
        (count,) = struct.unpack_from(">I", payload)
        if count > (len(payload) - 4) // 8:
            raise SpdyError(f"{count} settings do not fit into {len(payload)} bytes")
        entries = (struct.unpack_from(">II", payload, 4 + 8 * index) for index in range(count))
        return Settings({key & 0xFFFFFF: value for key, value in entries}, bool(flags & _CLEAR_SETTINGS))

    def _ping(self, _: int, payload: bytes) -> Frame:
        return Ping(*struct.unpack_from(">I", payload))

    def _goaway(self, _: int, payload: bytes) -> Frame:
        last, status = struct.unpack_from(">II", payload)
        return GoAway(last & _STREAM_ID, status)

    def _window_update(self, _: int, payload: bytes) -> Frame:
        stream_id, delta = struct.unpack_from(">II", payload)
        return WindowUpdate(stream_id & _STREAM_ID, delta & _STREAM_ID)

    _parsers: Final[Mapping[FrameType, Callable[[FrameReader, int, bytes], Frame]]] = {
        FrameType.SYN_STREAM: _syn_stream,
        FrameType.SYN_REPLY: _syn_reply,
        FrameType.RST_STREAM: _rst_stream,
        FrameType.SETTINGS: _settings,
        FrameType.PING: _ping,
        FrameType.GOAWAY: _goaway,
        FrameType.HEADERS: _headers,
        FrameType.WINDOW_UPDATE: _window_update,
    }

    def _block(self, compressed: bytes) -> Pairs:
        try:
            block = self._inflate.decompress(compressed, MAX_HEADER_BLOCK + 1)
        except zlib.error as error:
            raise SpdyError(f"a header block cannot be inflated: {error}") from error
        if len(block) > MAX_HEADER_BLOCK or self._inflate.unconsumed_tail:
            raise SpdyError(f"a header block is larger than {MAX_HEADER_BLOCK} bytes")
        return _pairs(block)


def _pairs(block: bytes) -> Pairs:
    """Names and values of an inflated header block."""
    if not block:
        return ()
    (count,) = struct.unpack_from(">I", block)
    at = 4
    texts: list[str] = []
    for _ in range(2 * count):
        (length,) = struct.unpack_from(">I", block, at)
        if len(block) < at + 4 + length:
            raise SpdyError("a header block is cut short")
        texts.append(block[at + 4 : at + 4 + length].decode("latin-1"))
        at += 4 + length
    return tuple(zip(texts[::2], texts[1::2], strict=True))
