"""Reads the tensors of a torch checkpoint without torch, and without running what a pickle asks for.

A checkpoint is a pickle, and a pickle can name any function of any module and have it called. This reader resolves
three names only (an ordered dictionary, a float storage, the rebuilding of a tensor), all of them to plain data of its
own; any other name ends the reading. It knows the format that torch wrote before 1.6, in which the GE2E speaker
encoder is published (layout: ``torch/serialization.py`` of PyTorch, ``_legacy_save``):

five pickles one after the other - magic number, protocol version, facts about the machine, the object, the sorted keys
of its storages - and then each storage in the order of the keys: its number of elements (int64) and its raw values.
"""

import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from osler.kernel.errors import WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_VALUE = np.dtype("<f4")
_STATE_KEYS = ("model_state", "state_dict", "model_state_dict")


class _FloatStorage:
    """Stands for ``torch.FloatStorage`` while the pickle is read; never made."""


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    elements: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor's values lie: offset, sizes and strides in elements of its storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def last_element(self) -> int:
        return self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _rebuild_tensor(storage: object, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise pickle.UnpicklingError("a tensor that is not described as one")
    if len(shape) != len(strides) or not all(map(_is_count, (offset, *shape, *strides))):
        raise pickle.UnpicklingError("a tensor with impossible sizes")
    tensor = _Tensor(storage, offset, shape, strides)
    # The first test also refuses a few bytes that are repeated (stride 0) until memory is full.
    if math.prod(shape) > storage.elements or (0 not in shape and tensor.last_element() >= storage.elements):
        raise pickle.UnpicklingError("a tensor that reaches outside its storage")
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): _FloatStorage,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
}


class _Unpickler(pickle.Unpickler):
    """Resolves the allowed names and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError("a name that a file of weights has no need of") from None

    def persistent_load(self, pid: Any) -> _Storage:
        # ("storage", type, key, device, number of elements, view): views are of torch 0.1 and not read.
        if not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
            raise pickle.UnpicklingError("a storage that is not described as one")
        _, kind, key, _, elements, _ = pid
        if kind is not _FloatStorage or not isinstance(key, str) or not _is_count(elements):
            raise pickle.UnpicklingError("a storage of other values than 32-bit floats")
        return _Storage(key, elements)


def _load(stream: BinaryIO) -> Any:
    return _Unpickler(stream).load()


def _state(checkpoint: object) -> dict[str, _Tensor]:
    """Return the named tensors of the checkpoint: those of its model state if it has one, else its own."""
    if isinstance(checkpoint, Mapping):
        for key in _STATE_KEYS:
            if isinstance(checkpoint.get(key), Mapping):
                checkpoint = checkpoint[key]
                break
    if not isinstance(checkpoint, Mapping):
        raise pickle.UnpicklingError("no named tensors")
    tensors = {name: value for name, value in checkpoint.items() if isinstance(value, _Tensor)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise pickle.UnpicklingError("no named tensors")
    return tensors


def _read_storages(stream: BinaryIO, keys: object, wanted: Mapping[str, _Storage]) -> dict[str, NDArray[np.float32]]:
    """Read the wanted storages and pass over the others (an optimizer's state, for instance)."""
    if not isinstance(keys, list):
        raise pickle.UnpicklingError("no list of storages")
    storages: dict[str, NDArray[np.float32]] = {}
    for key in keys:
        head = stream.read(8)
        if len(head) != 8:
            raise EOFError
        size = int.from_bytes(head, "little") * _VALUE.itemsize
        if key not in wanted:
            stream.seek(size, 1)
            continue
        if size != wanted[key].elements * _VALUE.itemsize:
            raise pickle.UnpicklingError("a storage of another size than announced")
        values = stream.read(size)
        if len(values) != size:
            raise EOFError
        storages[key] = np.frombuffer(values, _VALUE)
    if wanted.keys() - storages.keys():
        raise EOFError
    return storages


def read_state_dict(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the model's tensors by name, as C-contiguous 32-bit floats of the shape they were saved with.

    Reads ``model_state``, ``state_dict`` or ``model_state_dict`` of the checkpoint where it has one, else the
    checkpoint itself. Raises WeightsError when the file is missing, is no such checkpoint, is cut short, or asks for
    anything beyond named tensors of 32-bit floats; nothing that the file names is ever called.
    """
    try:
        with path.open("rb") as stream:
            if _load(stream) != _MAGIC or _load(stream) != _PROTOCOL:
                raise pickle.UnpicklingError("not a torch checkpoint of the format before 1.6")
            machine = _load(stream)
            if not isinstance(machine, Mapping) or machine.get("little_endian") is not True:
                raise pickle.UnpicklingError("not written on a little-endian machine")
            tensors = _state(_load(stream))
            wanted = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
            storages = _read_storages(stream, _load(stream), wanted)
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be read: {error.strerror}; pull the weights again") from error
    except (EOFError, OverflowError) as error:
        raise WeightsError(f"{path.name} is cut short; pull the weights again") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path.name} is refused, it holds {error}; pull the weights again") from error
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, UnicodeDecodeError, MemoryError) as error:
        # What the unpickler raises on bytes that are no pickle at all depends on the bytes.
        raise WeightsError(f"{path.name} is not a torch checkpoint; pull the weights again") from error
    return {name: _values(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _values(tensor: _Tensor, storage: NDArray[np.float32]) -> NDArray[np.float32]:
    strides = tuple(stride * _VALUE.itemsize for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.ascontiguousarray(view, dtype=np.float32)
