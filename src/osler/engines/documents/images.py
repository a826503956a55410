"""Pictures as documents: photos and scans of pages."""

import io
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from osler.engines.documents.limits import MAX_PIXELS
from osler.engines.documents.ocr import Image, reduced
from osler.engines.documents.refusals import RefusedError

if TYPE_CHECKING:
    from osler.engines.documents.ocr import Reader

_ORIENTATION: Final = 0x0112
"""The Exif tag that says how the camera was held (Exif 2.32, 4.6.4)."""

_AS_HELD: Final = {2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True), 8: (1, False)}
"""By Exif orientation: quarter turns to the left, and whether the result is to be mirrored."""


def read_image(data: bytes, reader: "Reader") -> str:
    """Return the text of a JPEG or PNG. Raises RefusedError: damaged, too_large."""
    return "\n".join(reader.lines(picture(data)))


def picture(data: bytes) -> Image:
    """Open a JPEG or PNG, the right way up if it says so itself. Raises RefusedError: damaged, too_large."""
    from PIL import Image as Pillow

    Pillow.MAX_IMAGE_PIXELS = None  # ours is checked before anything is unpacked, and is an error at once
    try:
        with Pillow.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise RefusedError("too_large")
            turns, mirrored = _AS_HELD.get(image.getexif().get(_ORIENTATION, 1), (0, False))
            pixels = np.rot90(reduced(image), turns)
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, struct.error):
        raise RefusedError("damaged") from None
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
