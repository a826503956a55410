"""The torch checkpoint is read as data: the right tensors come out, and nothing that a pickle names is called."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from osler.engines.torch_checkpoint import read_state_dict
from osler.kernel.errors import WeightsError

MAGIC = 0x1950A86A20F9469CFC6C


class Call:
    """Pickles as a call of ``function``, found by its module and name."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


class Name:
    """Pickles as the name of a thing that need not exist here (``torch.FloatStorage``)."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None: ...


class Storage:
    def __init__(self, key: str, elements: int, kind: str = "FloatStorage") -> None:
        self.key, self.elements, self.kind = key, elements, kind


# The pickler written in Python, which can be taught names; the types do not know that it is there.
PythonPickler: Any = vars(pickle)["_Pickler"]


class CheckpointPickler(PythonPickler):  # type: ignore[misc]
    """Writes what torch writes, without torch."""

    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, Storage):
            return ("storage", Name("torch", obj.kind), obj.key, "cpu", obj.elements, None)
        return None

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Name):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, save_persistent_id)


def tensor(key: str, shape: tuple[int, ...], strides: tuple[int, ...], *, offset: int = 0, elements: int) -> Call:
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, Storage(key, elements), offset, shape, strides, False, OrderedDict())


def checkpoint(state: object, storages: dict[str, NDArray[np.float32]]) -> bytes:
    stream = io.BytesIO()
    for part in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}, state, sorted(storages)):
        CheckpointPickler(stream, 2).dump(part)
    for key in sorted(storages):
        stream.write(struct.pack("<q", storages[key].size) + storages[key].astype("<f4").tobytes())
    return stream.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pretrained.pt"


def test_tensors_that_share_a_storage_come_out_with_their_own_shape_and_values(file: Path) -> None:
    values = np.arange(10, dtype=np.float32)
    state = {
        "step": 7,
        "model_state": OrderedDict(
            weight=tensor("1", (2, 3), (3, 1), elements=10),
            transposed=tensor("1", (3, 2), (1, 3), elements=10),
            bias=tensor("1", (4,), (1,), offset=6, elements=10),
        ),
        "optimizer_state": {"momentum": tensor("0", (5,), (1,), elements=5)},
    }
    file.write_bytes(checkpoint(state, {"0": np.zeros(5, np.float32), "1": values}))

    tensors = read_state_dict(file)

    assert list(tensors) == ["weight", "transposed", "bias"]
    np.testing.assert_array_equal(tensors["weight"], values[:6].reshape(2, 3))
    np.testing.assert_array_equal(tensors["transposed"], values[:6].reshape(2, 3).T)
    np.testing.assert_array_equal(tensors["bias"], values[6:])
    assert all(each.dtype == np.float32 and each.flags.c_contiguous for each in tensors.values())


@pytest.mark.parametrize("function", [os.system, os.mkdir, eval, exec], ids=lambda function: function.__name__)
def test_a_pickle_that_asks_for_a_call_is_refused_and_the_call_is_not_made(
    file: Path, tmp_path: Path, function: Callable[..., Any]
) -> None:
    witness = tmp_path / "called"
    argument = {
        "system": f"touch {witness}",
        "mkdir": str(witness),
        "eval": f"__import__('os').mkdir({str(witness)!r})",
        "exec": f"__import__('os').mkdir({str(witness)!r})",
    }[function.__name__]
    malicious = {"model_state": OrderedDict(weight=Call(function, argument))}
    content = checkpoint(malicious, {})
    file.write_bytes(content)

    with pytest.raises(WeightsError, match=r"pretrained\.pt is refused"):
        read_state_dict(file)
    assert not witness.exists()

    pickles = io.BytesIO(content)
    for _ in range(4):
        pickle.load(pickles)  # proof that the test's own pickle does harm where names are resolved freely
    assert witness.exists()


@pytest.mark.parametrize(
    "state",
    [
        {"weight": tensor("0", (3,), (1,), elements=2)},
        {"weight": tensor("0", (2,), (1,), offset=1, elements=2)},
        {"weight": tensor("0", (2,), (-1,), offset=1, elements=2)},
        {"weight": tensor("0", (10**12,), (0,), elements=2)},
        {"weight": Call(Name("torch._utils", "_rebuild_tensor_v2"), "no storage", 0, (1,), (1,))},
        {"weight": Call(Name("torch._utils", "_rebuild_tensor_v2"), Storage("0", 2, "HalfStorage"), 0, (1,), (1,))},
        {"weight": 3.0},
        [1, 2, 3],
    ],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(file: Path, state: object) -> None:
    file.write_bytes(checkpoint(state, {"0": np.zeros(2, np.float32)}))
    with pytest.raises(WeightsError, match="refused"):
        read_state_dict(file)


def test_a_checkpoint_cut_short_anywhere_is_refused(file: Path) -> None:
    content = checkpoint({"weight": tensor("0", (4,), (1,), elements=4)}, {"0": np.ones(4, np.float32)})
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            read_state_dict(file)
    file.write_bytes(content)
    assert read_state_dict(file)["weight"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"<html>", bytes(range(256)), b"\x80\x02K\x01."])
def test_bytes_that_are_no_checkpoint_are_refused_in_one_line(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(WeightsError) as refusal:
        read_state_dict(file)
    assert "\n" not in str(refusal.value)
    assert "pull the weights again" in str(refusal.value)


def test_a_missing_file_is_refused_in_one_line(file: Path) -> None:
    with pytest.raises(WeightsError, match=r"pretrained\.pt cannot be read"):
        read_state_dict(file)
