"""The lock file that comes with Osler: what it names, and that the real weights are what it says."""

import urllib.parse
from pathlib import Path

import numpy as np
import pytest

from osler.config import Settings
from osler.engines.torch_checkpoint import read_state_dict
from osler.weights.lock import shipped_lock
from osler.weights.model import HubPlace, State, WheelPlace
from osler.weights.service import WeightsStore

DEFAULT = ["whisper-base", "whisper-tiny.en", "ge2e"]
ON_REQUEST = ["whisper-small", "whisper-medium", "whisper-large-v3-turbo"]


def test_the_models_that_osler_runs_by_itself_are_pulled_by_default_and_the_large_ones_on_request() -> None:
    assert [entry.name for entry in shipped_lock() if entry.default] == DEFAULT
    assert [entry.name for entry in shipped_lock() if not entry.default] == ON_REQUEST


def test_every_model_names_its_licence_its_publisher_and_an_https_address_pinned_to_a_revision() -> None:
    for entry in shipped_lock():
        assert entry.licence in {"MIT", "Apache-2.0"}
        assert entry.upstream.startswith("https://")
        hubs = [place for place in entry.places if isinstance(place, HubPlace)]
        assert len(hubs) == 1
        address = urllib.parse.urlsplit(hubs[0].url)
        assert address.scheme == "https"
        assert any(len(part) == 40 and int(part, 16) for part in address.path.split("/") if part.isalnum())


def test_the_wheels_of_a_model_hold_every_file_of_it() -> None:
    for entry in shipped_lock():
        for place in entry.places:
            if isinstance(place, WheelPlace):
                assert place.files.keys() == {file.path for file in entry.files}


def test_whisper_models_have_the_files_that_the_speech_library_loads() -> None:
    for entry in shipped_lock():
        if entry.name.startswith("whisper-"):
            paths = {file.path for file in entry.files}
            assert {"config.json", "model.bin", "tokenizer.json"} <= paths
            assert paths & {"vocabulary.txt", "vocabulary.json"}


@pytest.mark.engine
@pytest.mark.parametrize("name", DEFAULT)
def test_the_pulled_weights_have_the_digests_of_the_lock_file(name: str) -> None:
    store = WeightsStore(Settings().models_path)
    store.locate(name)
    assert all(check.right for check in store.verify(name))


@pytest.mark.engine
def test_the_speaker_encoder_comes_from_its_wheel_on_the_package_index(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    assert store.pull("ge2e").files == ("pretrained.pt",)
    assert store.state("ge2e") is State.PRESENT


@pytest.mark.engine
def test_the_speaker_encoder_is_three_lstm_layers_and_a_projection() -> None:
    tensors = read_state_dict(WeightsStore(Settings().models_path).locate("ge2e") / "pretrained.pt")
    shapes: dict[str, tuple[int, ...]] = {"similarity_weight": (1,), "similarity_bias": (1,)}
    for layer in range(3):
        shapes[f"lstm.weight_ih_l{layer}"] = (4 * 256, 256 if layer else 40)
        shapes[f"lstm.weight_hh_l{layer}"] = (4 * 256, 256)
        shapes[f"lstm.bias_ih_l{layer}"] = shapes[f"lstm.bias_hh_l{layer}"] = (4 * 256,)
    shapes |= {"linear.weight": (256, 256), "linear.bias": (256,)}
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes
    for name, tensor in tensors.items():
        assert np.isfinite(tensor).all(), name
        assert tensor.size == 1 or tensor.std() > 0.01, f"{name} is not trained"
    # GE2E initialises the scale of its similarity with 10 and the bias with -5, and keeps the scale positive.
    assert tensors["similarity_weight"][0] > 10
