"""The server's end of a SPDY/3.1 connection, without input or output.

Bytes received go in and events come out; what is to be sent is collected until it is taken.

Flow control: SPDY/3.1 gives each stream and the connection a window of 64 KiB. The peers of a kubelet
(the API server, kubectl, everything built on moby/spdystream) know no windows: they neither send nor
obey WINDOW_UPDATE. So this end always grants windows for what was consumed, but keeps within the
peer's only from the first SETTINGS or WINDOW_UPDATE on, by which a peer shows that it takes part;
for the others TCP is the brake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vnodectl.runtime.streams.spdy_frames import (
    INITIAL_WINDOW_SIZE_SETTING,
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    GoAwayStatus,
    Headers,
    Pairs,
    Ping,
    ResetStatus,
    RstStream,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)

INITIAL_WINDOW: Final = 64 * 1024
"""Bytes of a new stream's window and of the connection's (sections 2.6.8 and 2.6.4)."""
MAX_STREAMS: Final = 1024
"""Streams a peer may have open at once; more are refused."""
MAX_FRAME: Final = 32 * 1024
"""Bytes of data per frame sent, so that one stream does not keep the others waiting."""
_MAX_WINDOW: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream: answer with `accept` or `reset`."""

    stream_id: int
    headers: Pairs


@dataclass(frozen=True, slots=True)
class DataReceived:
    stream_id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer sends nothing more on this stream, but may still receive."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is over in both directions. `status` is a ResetStatus where it is a known one."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class WindowOpened:
    """Data that had to wait may be sent now."""


Event = StreamOpened | DataReceived | StreamEnded | StreamReset | WindowOpened


@dataclass(slots=True)
class _Stream:
    send_window: int
    consumed: int = 0
    peer_done: bool = False
    done: bool = False


class SpdyConnection:
    """State of the streams of one connection."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._out = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._last_stream = 0
        self._last_ping = 0
        self._initial_window = INITIAL_WINDOW
        self._send_window = INITIAL_WINDOW
        self._consumed = 0
        self._stream_windows = False
        self._connection_window = False
        self._closed = False

    # --- receiving --------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Iterator[Event]:
        """What these bytes mean. Raises SpdyError once a GOAWAY with the status is ready to be sent."""
        try:
            for frame in self._reader.feed(data):
                yield from self._handle(frame)
        except SpdyError:
            self.close(GoAwayStatus.PROTOCOL_ERROR)
            raise

    def _handle(self, frame: Frame) -> Iterator[Event]:
        match frame:
            case SynStream():
                yield from self._opened(frame)
            case Data(stream_id, data, fin):
                yield from self._data(stream_id, data, fin)
            case Headers(stream_id, _, fin):
                if fin:
                    yield from self._peer_done(stream_id)
            case RstStream(stream_id, status):
                if self._streams.pop(stream_id, None) is not None:
                    yield StreamReset(stream_id, status)
            case Ping(ping_id):
                if ping_id % 2:
                    self._send(frame)
            case WindowUpdate(stream_id, delta):
                yield from self._window(stream_id, delta)
            case Settings(values):
                yield from self._settings(values.get(INITIAL_WINDOW_SIZE_SETTING))
            case SynReply(stream_id):
                # A server that opens no streams gets no replies.
                self._send(RstStream(stream_id, ResetStatus.PROTOCOL_ERROR))
            case GoAway():
                pass  # No more streams will come; those that are open go on.

    def _opened(self, frame: SynStream) -> Iterator[Event]:
        if frame.stream_id % 2 == 0 or frame.stream_id <= self._last_stream:
            raise SpdyError(f"stream {frame.stream_id} was opened after {self._last_stream}")
        self._last_stream = frame.stream_id
        if len(self._streams) >= MAX_STREAMS:
            self._send(RstStream(frame.stream_id, ResetStatus.REFUSED_STREAM))
            return
        self._streams[frame.stream_id] = _Stream(self._initial_window, done=frame.unidirectional)
        yield StreamOpened(frame.stream_id, frame.headers)
        if frame.fin:
            yield from self._peer_done(frame.stream_id)

    def _data(self, stream_id: int, data: bytes, fin: bool) -> Iterator[Event]:
        stream = self._streams.get(stream_id)
        if stream is None or stream.peer_done:
            self._consume_connection(len(data))
            if stream_id > self._last_stream or stream_id % 2 == 0:
                self._send(RstStream(stream_id, ResetStatus.INVALID_STREAM))
            elif stream is not None:
                self._send(RstStream(stream_id, ResetStatus.STREAM_ALREADY_CLOSED))
            return
        if data:
            yield DataReceived(stream_id, data)
        if fin:
            yield from self._peer_done(stream_id)

    def _peer_done(self, stream_id: int) -> Iterator[Event]:
        stream = self._streams.get(stream_id)
        if stream is None or stream.peer_done:
            return
        stream.peer_done = True
        self._forget_if_over(stream_id, stream)
        yield StreamEnded(stream_id)

    def _window(self, stream_id: int, delta: int) -> Iterator[Event]:
        if stream_id == 0:
            self._connection_window = True
            self._send_window += delta
            if self._send_window > _MAX_WINDOW:
                raise SpdyError("the connection's window is larger than 2^31 - 1")
            yield WindowOpened()
            return
        self._stream_windows = True
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.send_window += delta
        if stream.send_window > _MAX_WINDOW:
            self.reset(stream_id, ResetStatus.FLOW_CONTROL_ERROR)
            yield StreamReset(stream_id, ResetStatus.FLOW_CONTROL_ERROR)
            return
        yield WindowOpened()

    def _settings(self, initial_window: int | None) -> Iterator[Event]:
        if initial_window is None:
            return
        if initial_window > _MAX_WINDOW:
            raise SpdyError("the initial window is larger than 2^31 - 1")
        self._stream_windows = True
        for stream in self._streams.values():
            stream.send_window += initial_window - self._initial_window
        self._initial_window = initial_window
        yield WindowOpened()

    # --- sending ----------------------------------------------------------------------------------

    def take(self) -> bytes:
        """What is to be sent now, in order."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def accept(self, stream_id: int) -> None:
        """Answer a stream that the peer opened."""
        if stream_id in self._streams:
            self._send(SynReply(stream_id))

    def sendable(self, stream_id: int) -> int | None:
        """How many bytes `send` may carry now (0: wait for WindowOpened); None: the stream is over."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.done or self._closed:
            return None
        room = MAX_FRAME
        if self._stream_windows:
            room = min(room, stream.send_window)
        if self._connection_window:
            room = min(room, self._send_window)
        return max(room, 0)

    def send(self, stream_id: int, data: bytes) -> None:
        """One data frame of at most `sendable` bytes."""
        stream = self._streams[stream_id]
        stream.send_window -= len(data)
        self._send_window -= len(data)
        self._send(Data(stream_id, data))

    def end(self, stream_id: int) -> None:
        """Nothing more will be sent on this stream; data may still come."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.done or self._closed:
            return
        stream.done = True
        self._send(Data(stream_id, b"", fin=True))
        self._forget_if_over(stream_id, stream)

    def reset(self, stream_id: int, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """End the stream in both directions."""
        if self._streams.pop(stream_id, None) is not None and not self._closed:
            self._send(RstStream(stream_id, status))

    def consumed(self, stream_id: int, count: int) -> None:
        """So many received bytes need no more room here: the peer may send as many again."""
        self._consume_connection(count)
        stream = self._streams.get(stream_id)
        if stream is None or stream.peer_done:
            return
        stream.consumed += count
        if stream.consumed >= INITIAL_WINDOW // 2:
            self._send(WindowUpdate(stream_id, stream.consumed))
            stream.consumed = 0

    def ping(self) -> None:
        self._last_ping += 2
        self._send(Ping(self._last_ping))

    def close(self, status: GoAwayStatus = GoAwayStatus.OK) -> None:
        """Say goodbye. Streams that this end has not ended are reset."""
        if self._closed:
            return
        for stream_id, stream in self._streams.items():
            if not stream.done:
                self._send(RstStream(stream_id, ResetStatus.CANCEL))
        self._streams.clear()
        self._send(GoAway(self._last_stream, status))
        self._closed = True

    def _consume_connection(self, count: int) -> None:
        self._consumed += count
        if self._consumed >= INITIAL_WINDOW // 2:
            self._send(WindowUpdate(0, self._consumed))
            self._consumed = 0

    def _forget_if_over(self, stream_id: int, stream: _Stream) -> None:
        if stream.done and stream.peer_done:
            del self._streams[stream_id]

    def _send(self, frame: Frame) -> None:
        if not self._closed:
            self._out += self._writer.write(frame)
