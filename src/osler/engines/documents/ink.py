"""Ink on paper: where on a page something is written that was not found yet."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

_DARKER: Final = 60
"""Shades of 256 by which ink is darker than the paper around it."""

_GAP: Final = 20
"""Rows of pixels without ink that part two bands."""

_LEAST_HEIGHT, _MOST_HEIGHT, _LEAST_INK = 8, 300, 60
"""Pixels: less is a rule or a speck, more a picture or the table that the page was photographed on."""

_MOST_BANDS: Final = 8
_MARGIN: Final = 40
_SIDE: Final = 736
"""Pixels: what is smaller than this, the model that finds lines enlarges."""


def leftovers(image: NDArray[np.uint8], boxes: NDArray[np.float64]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield left edge, upper edge and picture of each band of a page that has ink outside of ``boxes``.

    ``image``: height x width x 3; ``boxes``: boxes x 4 corners x 2 (x, y), in pixels.
    """
    import cv2

    grey = image.mean(axis=2)
    paper = float(np.median(grey))
    ink = (grey < paper - _DARKER).astype(np.uint8)
    for box in boxes:
        corners = box.round().astype(np.int32)
        cv2.fillPoly(ink, [corners], (0,))
        cv2.polylines(ink, [corners], True, (0,), thickness=9)
    found = sorted(_bands(ink), key=lambda band: -int(ink[band[0] : band[1]].sum()))
    for top, bottom in found[:_MOST_BANDS]:
        columns = np.flatnonzero(ink[top:bottom].any(axis=0))
        if bottom - top > _MOST_HEIGHT or ink[top:bottom].sum() < _LEAST_INK or np.ptp(columns) < _LEAST_HEIGHT:
            continue
        y, x = max(0, top - _MARGIN), max(0, int(columns[0]) - _MARGIN)
        piece = image[y : bottom + _MARGIN, x : int(columns[-1]) + _MARGIN]
        height, width = max(_SIDE, piece.shape[0]), max(_SIDE, piece.shape[1])
        canvas = np.full((height, width, 3), round(paper), np.uint8)
        canvas[: piece.shape[0], : piece.shape[1]] = piece
        yield x, y, canvas


def _bands(ink: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield the first row and the row after the last of each band that is high enough to be a line of text."""
    rows = np.flatnonzero(ink.sum(axis=1) > 2)
    if not len(rows):
        return
    breaks = np.flatnonzero(np.diff(rows) > _GAP)
    for first, last in zip([0, *(breaks + 1)], [*breaks, len(rows) - 1], strict=True):
        if rows[last] - rows[first] >= _LEAST_HEIGHT:
            yield int(rows[first]), int(rows[last]) + 1
