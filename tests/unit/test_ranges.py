"""Which bytes a player asks for, checked against a plain reading of RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.api.ranges import UnsatisfiableRangeError, read_range

sizes = st.integers(0, 10_000)


@given(size=sizes, first=st.integers(0, 12_000), last=st.integers(0, 12_000))
def test_a_closed_range_is_what_the_object_has_of_it(size: int, first: int, last: int) -> None:
    wanted = [byte for byte in range(size) if first <= byte <= last]
    header = f"bytes={first}-{last}"
    if last < first:
        assert read_range(header, size) is None
    elif not wanted:
        with pytest.raises(UnsatisfiableRangeError):
            read_range(header, size)
    else:
        assert read_range(header, size) == (wanted[0], wanted[-1] + 1)


@given(size=sizes, first=st.integers(0, 12_000))
def test_an_open_range_goes_to_the_end(size: int, first: int) -> None:
    if first >= size:
        with pytest.raises(UnsatisfiableRangeError):
            read_range(f"bytes={first}-", size)
    else:
        assert read_range(f"bytes={first}-", size) == (first, size)


@given(size=sizes, length=st.integers(0, 12_000))
def test_a_suffix_is_the_end_of_the_object(size: int, length: int) -> None:
    if not size or not length:
        with pytest.raises(UnsatisfiableRangeError):
            read_range(f"bytes=-{length}", size)
    else:
        assert read_range(f"bytes=-{length}", size) == (max(0, size - length), size)


@given(header=st.text(max_size=30), size=sizes)
def test_anything_else_is_no_range_and_never_fails_otherwise(header: str, size: int) -> None:
    try:
        found = read_range(header, size)
    except UnsatisfiableRangeError:
        return
    assert found is None or 0 <= found[0] < found[1] <= size
