"""The file of an index: named NumPy arrays in a zip archive, deflated in the package, stored and mapped elsewhere."""

import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

Array = NDArray[Any]
npy: Final[Any] = npy_format  # its functions have no types
_LOCAL_HEADER: Final = 30
"""Bytes of a local file header before its names (APPNOTE.TXT 6.3.10, 4.3.7)."""


def pack(texts: Sequence[str]) -> tuple[Array, Array]:
    """Return all texts as one array of UTF-8 bytes, and where each begins (one more than there are texts)."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets.astype(np.int32)


def rows(lists: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Return all numbers in one array, and where each list of them begins."""
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(each) for each in lists], out=offsets[1:])
    flat = np.fromiter((n for each in lists for n in each), dtype=np.int32, count=int(offsets[-1]))
    return flat, offsets.astype(np.int32)


class Texts:
    """Texts packed by :func:`pack`, decoded when they are asked for."""

    def __init__(self, data: Array, offsets: Array) -> None:
        self._data = data
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, at: int) -> str:
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]]).decode()


def write_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Array], *, compress: bool) -> None:
    """Write arrays and a JSON header; the same input gives the same bytes."""
    head = np.frombuffer(json.dumps(header, ensure_ascii=False, sort_keys=True).encode(), dtype=np.uint8)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=9 if compress else None) as archive:
        for name, array in {"header": head, **arrays}.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as stream:
                npy.write_array(cast(Any, stream), np.ascontiguousarray(array), allow_pickle=False)


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of an index file alone."""
    with zipfile.ZipFile(path) as archive, archive.open("header.npy") as stream:
        return _decode(npy.read_array(cast(Any, stream), allow_pickle=False))


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return header and arrays; arrays that are stored uncompressed stay in the file and are mapped read-only."""
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.compress_type == zipfile.ZIP_STORED:
                arrays[name] = _mapped(path, file, info)
            else:
                with archive.open(info) as stream:
                    arrays[name] = npy.read_array(cast(Any, stream), allow_pickle=False)
    return _decode(arrays.pop("header")), arrays


def _mapped(path: Path, file: Any, info: zipfile.ZipInfo) -> Array:
    file.seek(info.header_offset)
    names = struct.unpack("<HH", file.read(_LOCAL_HEADER)[26:30])
    file.seek(info.header_offset + _LOCAL_HEADER + sum(names))
    if npy.read_magic(file) != (1, 0):
        raise ValueError("the index was written in another format")
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    if fortran or not np.prod(shape):
        return np.zeros(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape)


def _decode(header: Array) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(bytes(header)))
