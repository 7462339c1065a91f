"""The server's state of a SPDY/3.1 connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.runtime.streams.spdy_connection import (
    INITIAL_WINDOW,
    MAX_FRAME,
    MAX_STREAMS,
    DataReceived,
    Event,
    SpdyConnection,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WindowOpened,
)
from vnodectl.runtime.streams.spdy_frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    Ping,
    RstStream,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)


class Peer:
    """A client that says exactly what a test wants, and the connection it talks to."""

    def __init__(self) -> None:
        self.connection = SpdyConnection()
        self._writer = FrameWriter()
        self._reader = FrameReader()

    def send(self, *frames: Frame) -> list[Event]:
        return list(self.connection.receive(b"".join(map(self._writer.write, frames))))

    def answers(self) -> list[Frame]:
        return list(self._reader.feed(self.connection.take()))


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_a_stream_is_opened_and_answered(peer: Peer) -> None:
    assert peer.send(SynStream(1, (("streamtype", "error"),))) == [
        StreamOpened(1, (("streamtype", "error"),))
    ]
    peer.connection.accept(1)
    assert peer.answers() == [SynReply(1)]


def test_both_directions_end_on_their_own(peer: Peer) -> None:
    peer.send(SynStream(1))
    assert peer.send(Data(1, b"in", fin=True)) == [DataReceived(1, b"in"), StreamEnded(1)]
    assert peer.connection.sendable(1) == MAX_FRAME
    peer.connection.send(1, b"out")
    peer.connection.end(1)
    peer.connection.end(1)
    assert peer.answers() == [Data(1, b"out"), Data(1, b"", fin=True)]
    assert peer.connection.sendable(1) is None


def test_this_end_may_end_first(peer: Peer) -> None:
    peer.send(SynStream(1))
    peer.connection.end(1)
    assert peer.send(Data(1, b"more")) == [DataReceived(1, b"more")]
    assert peer.connection.sendable(1) is None


def test_headers_and_syn_may_end_the_peers_direction(peer: Peer) -> None:
    assert peer.send(SynStream(1, fin=True), SynStream(3), Headers(3, fin=True)) == [
        StreamOpened(1, ()),
        StreamEnded(1),
        StreamOpened(3, ()),
        StreamEnded(3),
    ]


def test_a_reset_ends_both_directions(peer: Peer) -> None:
    peer.send(SynStream(1))
    assert peer.send(RstStream(1, 5)) == [StreamReset(1, 5)]
    assert peer.connection.sendable(1) is None
    peer.send(SynStream(3))
    peer.connection.reset(3)
    assert peer.answers() == [RstStream(3, 5)]
    assert peer.send(Data(3, b"late")) == []
    assert peer.answers() == []


def test_pings_of_the_client_are_answered_and_ours_are_even(peer: Peer) -> None:
    assert peer.send(Ping(1), Ping(2)) == []
    peer.connection.ping()
    assert peer.answers() == [Ping(1), Ping(2)]  # the second one is ours


@pytest.mark.parametrize("second", [1, 3, 4])
def test_stream_numbers_of_a_client_are_odd_and_grow(peer: Peer, second: int) -> None:
    peer.send(SynStream(3))
    with pytest.raises(SpdyError):
        peer.send(SynStream(second))
    assert peer.answers() == [RstStream(3, 5), GoAway(3, 1)]


def test_data_for_a_stream_that_never_was(peer: Peer) -> None:
    assert peer.send(Data(7, b"x")) == []
    assert peer.answers() == [RstStream(7, 2)]


def test_data_after_the_end(peer: Peer) -> None:
    peer.send(SynStream(1, fin=True))
    assert peer.send(Data(1, b"x")) == []
    assert peer.answers() == [RstStream(1, 9)]


def test_streams_are_limited(peer: Peer) -> None:
    peer.send(*(SynStream(2 * number + 1) for number in range(MAX_STREAMS)))
    assert peer.send(SynStream(2 * MAX_STREAMS + 1)) == []
    assert peer.answers() == [RstStream(2 * MAX_STREAMS + 1, 3)]


def test_goodbye_resets_what_this_end_has_not_ended(peer: Peer) -> None:
    peer.send(SynStream(1), SynStream(3))
    peer.connection.end(1)
    peer.connection.close()
    peer.connection.close()
    peer.connection.ping()
    assert peer.answers() == [Data(1, b"", fin=True), RstStream(3, 5), GoAway(3, 0)]


def test_a_goaway_of_the_peer_leaves_open_streams_alone(peer: Peer) -> None:
    peer.send(SynStream(1))
    assert peer.send(GoAway(0), Data(1, b"x")) == [DataReceived(1, b"x")]


# --- flow control ---------------------------------------------------------------------------------


def test_windows_are_granted_for_what_was_consumed(peer: Peer) -> None:
    peer.send(SynStream(1), Data(1, b"x" * INITIAL_WINDOW))
    peer.connection.consumed(1, INITIAL_WINDOW // 2 - 1)
    assert peer.answers() == []
    peer.connection.consumed(1, 1)
    half = INITIAL_WINDOW // 2
    assert sorted(peer.answers(), key=repr) == [WindowUpdate(0, half), WindowUpdate(1, half)]


def test_no_window_is_granted_to_a_stream_that_has_ended(peer: Peer) -> None:
    peer.send(SynStream(1), Data(1, b"x" * INITIAL_WINDOW, fin=True))
    peer.connection.consumed(1, INITIAL_WINDOW)
    assert peer.answers() == [WindowUpdate(0, INITIAL_WINDOW)]


def test_data_nobody_wants_still_frees_the_connections_window(peer: Peer) -> None:
    peer.send(SynStream(1))
    peer.connection.reset(1)
    peer.answers()
    peer.send(Data(1, b"x" * (INITIAL_WINDOW // 2)))
    assert peer.answers() == [WindowUpdate(0, INITIAL_WINDOW // 2)]


def test_a_peer_that_knows_no_windows_is_not_held_to_them(peer: Peer) -> None:
    peer.send(SynStream(1))
    for _ in range(2 * INITIAL_WINDOW // MAX_FRAME + 1):
        peer.connection.send(1, b"x" * MAX_FRAME)
    assert peer.connection.sendable(1) == MAX_FRAME


def test_a_peer_that_grants_windows_is_kept_to_them(peer: Peer) -> None:
    peer.send(SynStream(1))
    peer.connection.send(1, b"x" * (INITIAL_WINDOW - 10))
    assert peer.send(WindowUpdate(1, 5)) == [WindowOpened()]
    assert peer.connection.sendable(1) == 15
    peer.connection.send(1, b"x" * 15)
    assert peer.connection.sendable(1) == 0
    peer.send(WindowUpdate(1, 2**20))
    assert peer.connection.sendable(1) == MAX_FRAME
    peer.send(WindowUpdate(0, 7))
    assert peer.connection.sendable(1) == 2  # 65536 of the connection, 65541 sent, 7 granted


def test_settings_change_the_windows_of_open_streams(peer: Peer) -> None:
    peer.send(SynStream(1))
    peer.connection.send(1, b"x" * 100)
    assert peer.send(Settings({4: 9})) == []
    assert peer.send(Settings({7: 150})) == [WindowOpened()]
    assert peer.connection.sendable(1) == 50
    peer.send(Settings({7: 10}))
    assert peer.connection.sendable(1) == 0
    peer.send(SynStream(3))
    assert peer.connection.sendable(3) == 10


def test_windows_that_are_too_large_are_refused(peer: Peer) -> None:
    peer.send(SynStream(1))
    assert peer.send(WindowUpdate(1, 2**31 - 1)) == [StreamReset(1, 7)]
    assert peer.answers() == [RstStream(1, 7)]
    with pytest.raises(SpdyError):
        peer.send(WindowUpdate(0, 2**31 - 1))


@given(
    st.integers(1, 200_000),
    st.lists(st.tuples(st.booleans(), st.integers(1, 50_000)), max_size=30),
)
def test_a_window_is_never_overrun(total: int, grants: list[tuple[bool, int]]) -> None:
    """Against a peer that shows from the beginning that it keeps windows."""
    peer = Peer()
    peer.send(SynStream(1), Settings({7: INITIAL_WINDOW}), WindowUpdate(0, 1))
    allowed = {True: INITIAL_WINDOW, False: INITIAL_WINDOW + 1}  # the stream's, the connection's
    left, sent = total, 0
    for for_stream, amount in [*grants, (True, 2**20), (False, 2**20)]:
        while left and (room := peer.connection.sendable(1)):
            size = min(room, left)
            peer.connection.send(1, b"x" * size)
            left, sent = left - size, sent + size
        assert sent <= min(allowed.values())
        assert left == 0 or sent == min(allowed.values())
        peer.send(WindowUpdate(1 if for_stream else 0, amount))
        allowed[for_stream] += amount
