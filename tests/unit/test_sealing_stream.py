"""Sealed streams: any size, any range, and every way to tamper with one."""

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.kernel.errors import CorruptedError
from osler.storage.sealing.keys import DataKey
from osler.storage.sealing.stream import (
    CHUNK_SIZE,
    HEADER_SIZE,
    SEALED_CHUNK_SIZE,
    StreamOpener,
    StreamSealer,
    chunk_count,
    chunks_of,
    sealed_size,
    sealed_span,
)

KEY = DataKey(os.urandom(32))
PATTERN = os.urandom(4 * CHUNK_SIZE)
SIZES = st.one_of(
    st.integers(0, 3),
    st.builds(lambda n, d: n * CHUNK_SIZE + d, st.integers(1, 3), st.integers(-2, 2)),
    st.integers(0, 3 * CHUNK_SIZE),
)


def seal(plain: bytes, step: int = 1 << 30) -> bytes:
    sealer = StreamSealer(KEY)
    parts = [sealer.header]
    for start in range(0, len(plain), step):
        parts += sealer.update(plain[start : start + step])
    return b"".join([*parts, sealer.finish()])


def read(sealed: bytes, size: int, start: int, end: int, key: DataKey = KEY) -> bytes:
    """Read ``start:end`` as a vault does: the header, then only the chunks that hold the range."""
    opener = StreamOpener(key, sealed[:HEADER_SIZE], size)
    chunks = chunks_of(start, end)
    first, last = sealed_span(chunks, size)
    plain = b"".join(opener.open_chunks(chunks, sealed[first:last]))
    return plain[start - chunks.start * CHUNK_SIZE : end - chunks.start * CHUNK_SIZE]


def read_all(sealed: bytes, size: int) -> bytes:
    opener = StreamOpener(KEY, sealed[:HEADER_SIZE], size)
    return b"".join(opener.open_chunks(range(chunk_count(size)), sealed[HEADER_SIZE:]))


@settings(deadline=None)
@given(SIZES, st.sampled_from([1 << 30, CHUNK_SIZE, CHUNK_SIZE + 1, CHUNK_SIZE - 1, 40_000, 7919]))
def test_any_size_in_any_pieces_opens_to_what_was_sealed(size: int, step: int) -> None:
    plain = PATTERN[:size]
    sealed = seal(plain, step)
    assert len(sealed) == sealed_size(size)
    assert read_all(sealed, size) == plain


@settings(deadline=None)
@given(SIZES.filter(lambda n: n > 0), st.data())
def test_any_range_read_is_the_slice(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    assert read(seal(PATTERN[:size]), size, start, end) == PATTERN[start:end]


def test_two_streams_of_the_same_bytes_share_nothing() -> None:
    one, two = seal(PATTERN), seal(PATTERN)
    assert one[HEADER_SIZE : HEADER_SIZE + 64] != two[HEADER_SIZE : HEADER_SIZE + 64]
    assert PATTERN[:16] not in one


SIZE = 3 * CHUNK_SIZE + 100


def chunk(sealed: bytes, index: int) -> bytes:
    start = HEADER_SIZE + index * SEALED_CHUNK_SIZE
    return sealed[start : start + SEALED_CHUNK_SIZE]


def flipped(sealed: bytes, place: int) -> bytes:
    return sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]


TAMPERINGS: dict[str, Callable[[bytes], bytes]] = {
    "the last chunk cut off": lambda s: s[: HEADER_SIZE + 3 * SEALED_CHUNK_SIZE],
    "the last byte cut off": lambda s: s[:-1],
    "all chunks cut off but the first": lambda s: s[: HEADER_SIZE + SEALED_CHUNK_SIZE],
    "a byte appended": lambda s: s + b"\0",
    "a chunk appended": lambda s: s + chunk(s, 3),
    "two chunks swapped": lambda s: (
        s[:HEADER_SIZE] + chunk(s, 1) + chunk(s, 0) + s[HEADER_SIZE + 2 * SEALED_CHUNK_SIZE :]
    ),
    "a chunk repeated in the place of another": lambda s: (
        s[: HEADER_SIZE + SEALED_CHUNK_SIZE] + chunk(s, 0) + s[HEADER_SIZE + 2 * SEALED_CHUNK_SIZE :]
    ),
    "a chunk left out": lambda s: s[:HEADER_SIZE] + s[HEADER_SIZE + SEALED_CHUNK_SIZE :],
    "a chunk of another stream": lambda s: (
        s[:HEADER_SIZE] + chunk(seal(PATTERN[:SIZE]), 0) + s[HEADER_SIZE + SEALED_CHUNK_SIZE :]
    ),
    "the header of another stream": lambda s: seal(b"")[:HEADER_SIZE] + s[HEADER_SIZE:],
    "another version": lambda s: flipped(s, 4),
    "no magic": lambda s: flipped(s, 0),
    "a bit of the prefix flipped": lambda s: flipped(s, HEADER_SIZE - 1),
    "a bit of the first chunk flipped": lambda s: flipped(s, HEADER_SIZE),
    "a bit of a tag flipped": lambda s: flipped(s, HEADER_SIZE + SEALED_CHUNK_SIZE - 1),
    "a bit of the last chunk flipped": lambda s: flipped(s, len(s) - 20),
    "nothing left": lambda s: b"",
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_tampering_is_found(name: str) -> None:
    sealed = seal(PATTERN[:SIZE])
    assert read_all(sealed, SIZE) == PATTERN[:SIZE]
    tampered = TAMPERINGS[name](sealed)
    assert tampered != sealed
    with pytest.raises(CorruptedError):
        read_all(tampered, SIZE)


@pytest.mark.parametrize("shorter", [SIZE - 1, 3 * CHUNK_SIZE, CHUNK_SIZE, 0])
def test_a_row_that_says_another_size_opens_nothing_past_it(shorter: int) -> None:
    """The whole chunks before the claimed end are genuine; the chunk that would be the last is not the last."""
    sealed = seal(PATTERN[:SIZE])
    last = chunk_count(shorter) - 1
    start, _ = sealed_span(range(last, last + 1), shorter)
    with pytest.raises(CorruptedError):
        opener = StreamOpener(KEY, sealed[:HEADER_SIZE], shorter)
        list(opener.open_chunks(range(last, last + 1), sealed[start : sealed_size(shorter)]))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(CorruptedError):
        read(seal(b"audio"), 5, 0, 5, DataKey(os.urandom(32)))
