"""Pages of lists: where the next one starts, as a text that clients hand back."""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from osler.api.scribe.errors import invalid
from osler.kernel.pages import Position

MOST: Final = 200
"""Items of a page at most."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION: Final = re.compile(r"([0-9]{1,17})\.([0-9a-zA-Z]{1,64})")


def page_mark(position: Position) -> str:
    """Return a position as an opaque text. It names the last item of a page: what is added moves nothing."""
    micros = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{position.id}".encode()).decode().rstrip("=")


def read_page_mark(mark: str, field: str = "page") -> Position:
    """Return the position of :func:`page_mark`. Raises ScribeError (422)."""
    try:
        text = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)).decode("ascii")
        found = _POSITION.fullmatch(text)
        if found is None:
            raise ValueError
        return Position(_EPOCH + timedelta(microseconds=int(found[1])), found[2])
    except (ValueError, binascii.Error, OverflowError):
        raise invalid(field, f"{field} is not one that this list gave: take next_page of the answer before") from None
