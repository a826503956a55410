"""Reading of pictures: PP-OCRv6 in ONNX form, as the wheel of RapidOCR carries it; nothing is fetched."""

import logging
import math
import os
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from osler.engines.documents.ink import leftovers
from osler.engines.documents.layout import Piece, lines_of

if TYPE_CHECKING:
    from rapidocr import RapidOCR

Image = NDArray[np.uint8]
"""Height x width x 3 (blue, green, red)."""

LONGEST_SIDE: Final = 2000
"""Pixels to which a picture is reduced: 170 dots per inch of an A4 page, on which print of 6 points is read."""

_LEAST_SCORE: Final = 0.6
"""Mean probability of a line's characters below which it is taken for a smudge, a line of a form or a signature."""

_MAX_THREADS: Final = 4

_ASPECT: Final = 4.0
"""Width by height of what the model that tells upright from upside-down looks at."""


class Reader:
    """Reads pictures. The models are loaded with the first."""

    def __init__(self) -> None:
        self._engine: RapidOCR | None = None

    def lines(self, image: Image) -> list[str]:
        """Return the lines of a picture in reading order, whichever way up it is; none if there is no text on it."""
        engine = self._engine or self._load()
        boxes = _detected(engine, image)
        if not len(boxes):
            return []
        if median(_width(box) / max(_height(box), 1.0) for box in boxes if _is_long(box) or len(boxes) < 4) < 1.0:
            image, boxes = _quarter_turned(image, boxes)
        crops = _crops(image, boxes)
        if self._upside_down(engine, crops):
            image, boxes = _quarter_turned(*_quarter_turned(image, boxes))
            crops = _crops(image, boxes)
        texts, scores = _recognised(engine, crops)
        found = [
            (box, text)
            for box, text, score in zip(boxes, texts, scores, strict=True)
            if score >= _LEAST_SCORE and text.strip()
        ]
        return lines_of(_level(found))

    def _load(self) -> "RapidOCR":
        # RapidOCR makes its logger when it is imported, and says at INFO which files it opens.
        logging.disable(logging.CRITICAL)
        from rapidocr import RapidOCR

        threads = min(_MAX_THREADS, os.cpu_count() or 1)
        self._engine = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.max_side_len": LONGEST_SIDE,
                "Global.use_vertical_padding": False,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                # One line at a time: in a batch every line costs as much as the longest.
                "Rec.rec_batch_num": 1,
            }
        )
        return self._engine

    def _upside_down(self, engine: "RapidOCR", crops: list[Image]) -> bool:
        """Say whether most lines stand on their head. The model alone errs on long lines; all of them together do not.

        Where they do not agree, the reading of a few lines decides: what stands on its head is read with little
        certainty.
        """
        heads = [crop[:, : math.ceil(_ASPECT * crop.shape[0])] for crop in crops]
        labels = [label for label, _ in _cls(engine, heads)]
        share = labels.count("180") / len(labels)
        if share <= 0.2:
            return False
        sample = sorted(crops, key=lambda crop: abs(crop.shape[1] / crop.shape[0] - 8.0))[:4]
        turned = [np.ascontiguousarray(crop[::-1, ::-1]) for crop in sample]
        return sum(_recognised(engine, turned)[1]) > sum(_recognised(engine, sample)[1])


def reduced(image: Any) -> Image:
    """Return a Pillow image as an array, reduced to :data:`LONGEST_SIDE`, on white where it is transparent."""
    from PIL import Image as Pillow

    if image.mode.startswith("I"):
        # 16 bits of grey, which Pillow would cut off at 255 instead of scaling them.
        image = Pillow.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    longest = max(image.size)
    if longest > LONGEST_SIDE:
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        factor = LONGEST_SIDE / max(image.size)
        if factor < 1:
            if image.mode in ("1", "P", "F", "CMYK"):
                image = image.convert("RGBA" if image.mode == "P" else "RGB")
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            image = image.resize(size, Pillow.Resampling.LANCZOS)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Pillow.new("RGBA", image.size, "white")
        image = Pillow.alpha_composite(white, image)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _detected(engine: "RapidOCR", image: Image) -> NDArray[np.float64]:
    """Return the corners of each line's box, clockwise from its left upper one: lines x 4 x 2 (x, y).

    On a page that is almost empty the model overlooks lines that it sees when they are cut out: where ink is left that
    is in no box, it looks again.
    """
    boxes = _detected_at_once(engine, image)
    for x, y, piece in leftovers(image, boxes):
        found = _detected_at_once(engine, piece) + np.array([x, y])
        new = [box for box in found if not any(_contains(other, box.mean(axis=0)) for other in boxes)]
        if new:
            boxes = np.concatenate([boxes, np.array(new)])
    return boxes


def _contains(box: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    (left, top), (right, bottom) = box.min(axis=0), box.max(axis=0)
    return bool(left <= point[0] <= right and top <= point[1] <= bottom)


def _detected_at_once(engine: "RapidOCR", image: Image) -> NDArray[np.float64]:
    from rapidocr.main import RapidOCRError

    try:
        _, found = engine.detect_and_crop(image, {})
    except RapidOCRError:  # there is none
        return np.zeros((0, 4, 2))
    return np.asarray(found.boxes, np.float64)


def _crops(image: Image, boxes: NDArray[np.float64]) -> list[Image]:
    """Cut out each line and straighten it."""
    import cv2

    crops = []
    for box in boxes:
        width, height = max(1, round(_width(box))), max(1, round(_height(box)))
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(box.astype(np.float32), corners)
        crop = cv2.warpPerspective(
            image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        crops.append(np.asarray(crop, np.uint8))
    return crops


def _recognised(engine: "RapidOCR", crops: list[Image]) -> tuple[list[str], list[float]]:
    result = engine.recognize_txt(crops)
    return list(result.txts or ()), [float(score) for score in result.scores or ()]


def _cls(engine: "RapidOCR", crops: list[Image]) -> list[tuple[str, float]]:
    _, result = engine.cls_and_rotate(crops)
    return list(result.cls_res or ())


def _width(box: NDArray[np.float64]) -> float:
    return float(max(np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[2] - box[3])))


def _height(box: NDArray[np.float64]) -> float:
    return float(max(np.linalg.norm(box[3] - box[0]), np.linalg.norm(box[2] - box[1])))


def _is_long(box: NDArray[np.float64]) -> bool:
    """Say whether a box is longer one way: a short word is about square, and does not tell which way it lies."""
    width, height = _width(box), _height(box)
    return max(width, height) > 2 * min(width, height)


def _quarter_turned(image: Image, boxes: NDArray[np.float64]) -> tuple[Image, NDArray[np.float64]]:
    """Turn the picture a quarter to the left, and the boxes with it, each again from its left upper corner."""
    width = image.shape[1]
    turned = np.stack([boxes[..., 1], width - boxes[..., 0]], axis=-1)
    # What was the right upper corner is the left upper one now.
    return np.ascontiguousarray(np.rot90(image)), np.roll(turned, -1, axis=1)


def _level(found: list[tuple[NDArray[np.float64], str]]) -> list[Piece]:
    """Return the lines as pieces on a level page: a photo is hardly ever taken straight."""
    if not found:
        return []
    tilts = [
        math.atan2(box[1][1] - box[0][1], box[1][0] - box[0][0]) for box, _ in found if _width(box) > 4 * _height(box)
    ]
    tilt = median(tilts) if tilts else 0.0
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    pieces = []
    for box, text in found:
        level = box @ turn
        middle, half = level[:, 1].mean(), _height(box) / 2
        pieces.append(Piece(text.strip(), level[:, 0].min(), middle - half, level[:, 0].max(), middle + half))
    return pieces
