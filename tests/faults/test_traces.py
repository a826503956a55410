"""The search for traces finds what it is to find: a check that cannot fail proves nothing."""

from pathlib import Path

import pytest

from tests.faults.traces import assert_no_trace

SAID = "The swelling of my ankles began in spring, doctor"
SOUND = bytes((i * 37 + i // 5) % 256 for i in range(4000))


@pytest.mark.parametrize(
    "content",
    [b"...of my ankles BEGAN in...", "of my ankles began".encode("utf-16-le"), b"Zebedee", SOUND[1000:1300]],
    ids=["words", "wide words", "name", "sound"],
)
def test_a_trace_is_found_wherever_it_stands(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\0" * 100 + content + b"\0" * 100)
    with pytest.raises(AssertionError, match="of the visit stand"):
        assert_no_trace(SAID, [tmp_path], names=["Zebedee"], sounds=[SOUND])


def test_other_words_are_no_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"the swelling of one's pride")
    assert_no_trace(SAID, [tmp_path], names=["Zebedee"], sounds=[SOUND])
