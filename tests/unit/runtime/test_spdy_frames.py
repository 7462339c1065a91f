"""SPDY/3.1 framing against vectors made by hand from the specification, and as properties."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.runtime.streams.spdy_dictionary import DICTIONARY
from vnodectl.runtime.streams.spdy_frames import (
    MAX_CONTROL_PAYLOAD,
    MAX_HEADER_BLOCK,
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

# Section 2.6: one bit for a control frame, 15 of version, 16 of type, 8 of flags, 24 of length.
VECTORS: list[tuple[Frame, str]] = [
    (Ping(1), "8003 0006 00 000004 00000001"),
    (Ping(0x01020304), "8003 0006 00 000004 01020304"),
    (RstStream(5, 5), "8003 0003 00 000008 00000005 00000005"),
    (GoAway(7, 0), "8003 0007 00 000008 00000007 00000000"),
    (WindowUpdate(0, 0x10000), "8003 0009 00 000008 00000000 00010000"),
    (Settings({7: 0x100000}), "8003 0004 00 00000c 00000001 00000007 00100000"),
    (Settings({}, clear=True), "8003 0004 01 000004 00000000"),
    (Data(3, b"hello"), "00000003 00 000005 68656c6c6f"),
    (Data(3, b"", fin=True), "00000003 01 000000"),
]


def read(data: bytes) -> list[Frame]:
    return list(FrameReader().feed(data))


def block(*headers: tuple[str, str]) -> bytes:
    """A header block as section 2.6.10 draws it, not compressed."""
    parts = [struct.pack(">I", len(headers))]
    texts = (text.encode() for header in headers for text in header)
    parts.extend(struct.pack(">I", len(text)) + text for text in texts)
    return b"".join(parts)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def test_the_dictionary_is_the_one_of_the_specification() -> None:
    assert len(DICTIONARY) == 1423
    # The checksum that zlib writes into every stream that begins with this dictionary.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    assert deflated(b"x")[2:6] == bytes.fromhex("e3c6a7c2")


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=str)
def test_frames_without_headers_are_these_bytes(frame: Frame, wire: str) -> None:
    assert FrameWriter().write(frame) == bytes.fromhex(wire)
    assert read(bytes.fromhex(wire)) == [frame]


def test_syn_stream_as_drawn_in_the_specification() -> None:
    headers = block(("streamtype", "stdout"), ("port", "80"))
    payload = bytes.fromhex("00000005 00000003 a0 07") + deflated(headers)
    wire = bytes.fromhex("8003 0001 03") + len(payload).to_bytes(3, "big") + payload
    expected = SynStream(
        5,
        (("streamtype", "stdout"), ("port", "80")),
        fin=True,
        unidirectional=True,
        associated=3,
        priority=5,
        slot=7,
    )
    assert read(wire) == [expected]
    written = FrameWriter().write(expected)
    assert written[:18] == wire[:5] + written[5:8] + payload[:10]
    assert written[20:24] == bytes.fromhex("e3c6a7c2"), "compressed with the dictionary"
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(written[18:]) == headers


@pytest.mark.parametrize(("kind", "frame"), [(2, SynReply(9, (), fin=True)), (8, Headers(9, (), fin=True))])
def test_frames_with_headers_for_an_open_stream(kind: int, frame: Frame) -> None:
    payload = bytes.fromhex("00000009") + deflated(block())
    wire = bytes((0x80, 3, 0, kind, 1)) + len(payload).to_bytes(3, "big") + payload
    assert read(wire) == [frame]


def test_header_compression_is_one_stream_for_the_connection() -> None:
    writer, reader = FrameWriter(), FrameReader()
    headers = (("streamtype", "error"), ("requestid", "1"))
    first, second = (writer.write(SynStream(number, headers)) for number in (1, 3))
    assert len(second) < len(first)
    assert [*reader.feed(first), *reader.feed(second)] == [SynStream(1, headers), SynStream(3, headers)]
    with pytest.raises(SpdyError):
        read(second)  # it refers to what came before


def test_unknown_control_frames_are_skipped() -> None:
    unknown = bytes.fromhex("8003 000a 00 000003 aabbcc")
    assert read(unknown + FrameWriter().write(Ping(1))) == [Ping(1)]


def test_data_is_passed_on_before_its_frame_is_complete() -> None:
    reader = FrameReader()
    wire = FrameWriter().write(Data(1, b"abcdef", fin=True))
    assert list(reader.feed(wire[:10])) == [Data(1, b"ab")]
    assert list(reader.feed(wire[10:])) == [Data(1, b"cdef", fin=True)]


@pytest.mark.parametrize(
    "wire",
    [
        bytes.fromhex("8002 0006 00 000004 00000001"),  # SPDY/2
        bytes.fromhex("8003 0006 00 000003 000001"),  # too short
        bytes.fromhex("8003 0004 00 000004 00000001"),  # one setting, but none there
        bytes.fromhex("8003 0001 00 00000c 00000001 00000000 0000 dead"),  # not zlib
        bytes.fromhex("8003 0006 00") + (MAX_CONTROL_PAYLOAD + 1).to_bytes(3, "big"),
    ],
)
def test_what_is_not_spdy_is_an_error(wire: bytes) -> None:
    with pytest.raises(SpdyError):
        read(wire)


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * (MAX_HEADER_BLOCK + 1),  # inflates to more than is accepted
        struct.pack(">I", 2**31),  # promises two thousand million headers
        block(("a", "b"))[:-1],
        b"\0\0",
    ],
)
def test_a_hostile_header_block_is_an_error(content: bytes) -> None:
    payload = bytes.fromhex("00000001") + deflated(content)
    wire = bytes.fromhex("8003 0002 00") + len(payload).to_bytes(3, "big") + payload
    with pytest.raises(SpdyError):
        read(wire)


def test_a_header_block_that_would_fill_the_memory_is_not_inflated() -> None:
    payload = bytes.fromhex("00000001") + deflated(b"\0" * 50_000_000)
    wire = bytes.fromhex("8003 0002 00") + len(payload).to_bytes(3, "big") + payload
    tracemalloc.start()
    try:
        with pytest.raises(SpdyError):
            read(wire)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


ids = st.integers(1, 2**31 - 1)
texts = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=40)
pairs = st.lists(st.tuples(texts, texts), max_size=5).map(tuple)
frames = st.one_of(
    st.builds(
        SynStream,
        ids,
        pairs,
        fin=st.booleans(),
        unidirectional=st.booleans(),
        associated=ids,
        priority=st.integers(0, 7),
        slot=st.integers(0, 255),
    ),
    st.builds(SynReply, ids, pairs, st.booleans()),
    st.builds(Headers, ids, pairs, st.booleans()),
    st.builds(RstStream, ids, st.integers(1, 11)),
    st.builds(
        Settings,
        st.dictionaries(st.integers(1, 2**24 - 1), st.integers(0, 2**32 - 1), max_size=4),
        st.booleans(),
    ),
    st.builds(Ping, st.integers(1, 2**32 - 1)),
    st.builds(GoAway, ids, st.integers(0, 2)),
    st.builds(WindowUpdate, st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1)),
    st.builds(Data, ids, st.binary(max_size=200), st.booleans()),
)


def joined(pieces: list[Frame]) -> list[Frame]:
    """Pieces of one data frame put together again; empty ones only count at an end."""
    whole: list[Frame] = []
    open_piece: Data | None = None
    for frame in pieces:
        if not isinstance(frame, Data):
            whole.append(frame)
            continue
        data = (open_piece.data if open_piece else b"") + frame.data
        open_piece = Data(frame.stream_id, data)
        if frame.fin:
            whole.append(Data(frame.stream_id, data, fin=True))
            open_piece = None
    return whole


@given(st.lists(frames, max_size=12), st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_frames_survive_however_their_bytes_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    # Data without fin has no end that a reader could see, so those frames get one.
    sent = [Data(f.stream_id, f.data, fin=True) if isinstance(f, Data) else f for f in sent]
    writer, reader = FrameWriter(), FrameReader()
    wire = b"".join(map(writer.write, sent))
    received: list[Frame] = []
    at, turn = 0, 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        received += reader.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert joined(received) == sent


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_noise_is_frames_or_an_error_and_nothing_else(noise: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in noise:
            for frame in reader.feed(piece):
                assert frame is not None
    except SpdyError:
        pass
