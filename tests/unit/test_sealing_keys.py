"""Keys: how they are read, where they come from, what wraps what, and what a wrong one does."""

import asyncio
import base64
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import ErasedError, MasterKeyError
from osler.storage.sealing.digest import HmacKeyDigest
from osler.storage.sealing.keys import KeyRing, MasterKey, parse_key
from osler.storage.sealing.sources import (
    DIGEST_KEY,
    MASTER_KEY,
    CommandSecret,
    FileSecret,
    ValueSecret,
    load_key,
    secret_source,
)

KEY = bytes(range(32))

PATIENCE = 60.0
"""Seconds for what has to happen, on whatever machine."""


def test_a_key_is_read_from_hexadecimal_and_from_both_alphabets_of_base64() -> None:
    awkward = bytes.fromhex("fbff" * 16)
    assert parse_key(KEY.hex()) == parse_key(f"  {KEY.hex().upper()}\n") == KEY
    assert parse_key(base64.b64encode(awkward).decode()) == awkward
    assert parse_key(base64.urlsafe_b64encode(awkward).decode().rstrip("=") + "\n") == awkward


@pytest.mark.parametrize("text", ["", "hunter2", "ab" * 31, "ab" * 33, "zz" * 32, "A" * 42, "A" * 45, "é" * 43])
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(MasterKeyError, match="openssl rand -hex 32") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


def test_a_key_opened_is_the_key_made() -> None:
    ring = KeyRing(MasterKey(KEY))
    wrapped, opened = ring.new_object_key()
    assert ring.open_key(wrapped).secret == opened.secret
    assert opened.secret not in wrapped.wrapped
    other, _ = ring.new_object_key()
    assert other.id != wrapped.id and other.wrapped != wrapped.wrapped


def test_another_master_key_opens_nothing_and_the_message_names_both() -> None:
    wrapped, _ = KeyRing(MasterKey(KEY)).new_object_key()
    other = MasterKey(os.urandom(32))
    with pytest.raises(MasterKeyError, match=rf"{wrapped.master}.*{other.id}"):
        KeyRing(other).open_key(wrapped)


def test_an_altered_wrapped_key_is_refused() -> None:
    ring = KeyRing(MasterKey(KEY))
    wrapped, _ = ring.new_object_key()
    for place in range(len(wrapped.wrapped)):
        altered = bytearray(wrapped.wrapped)
        altered[place] ^= 1
        with pytest.raises(MasterKeyError):
            ring.open_key(replace(wrapped, wrapped=bytes(altered)))
    with pytest.raises(MasterKeyError):
        ring.open_key(replace(wrapped, wrapped=wrapped.wrapped[:-1]))


def test_the_wrapped_keys_of_two_objects_cannot_be_swapped() -> None:
    ring = KeyRing(MasterKey(KEY))
    (one, _), (two, _) = ring.new_object_key(), ring.new_object_key()
    with pytest.raises(MasterKeyError):
        ring.open_key(replace(one, wrapped=two.wrapped))


def test_a_destroyed_key_says_erased() -> None:
    ring = KeyRing(MasterKey(KEY))
    wrapped, _ = ring.new_object_key()
    with pytest.raises(ErasedError):
        ring.open_key(replace(wrapped, wrapped=b""))


def test_rotation_wraps_again_and_keeps_the_data_key() -> None:
    old, new = MasterKey(KEY), MasterKey(os.urandom(32))
    wrapped, opened = KeyRing(old).new_object_key()
    rotating = KeyRing(new, former=[old])
    again = rotating.rewrap(wrapped)
    assert (again.id, again.master) == (wrapped.id, new.id)
    assert KeyRing(new).open_key(again).secret == opened.secret
    assert rotating.open_key(wrapped).secret == opened.secret, "not yet wrapped again, still readable"
    assert rotating.rewrap(again) is again
    with pytest.raises(MasterKeyError):
        KeyRing(old).open_key(again)


def test_no_key_shows_itself() -> None:
    master = MasterKey(KEY)
    ring = KeyRing(master)
    _, opened = ring.new_object_key()
    shown = (
        f"{master!r} {ring!r} {opened!r} {ValueSecret(MASTER_KEY, KEY.hex())!r} {CommandSecret(MASTER_KEY, 'x y')!r}"
    )
    assert KEY.hex() not in shown and opened.secret.hex() not in shown and repr(opened.secret) not in shown
    assert "x y" not in shown


# Sources


def test_the_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    source = FileSecret(MASTER_KEY, tmp_path / "new" / "master.key")
    assert not source.exists()
    first = load_key(source, create=True)
    assert stat.S_IMODE(source.path.stat().st_mode) == 0o600
    assert load_key(source, create=True).id == load_key(source).id == first.id
    assert [p.name for p in source.path.parent.iterdir()] == ["master.key"]


def test_of_many_that_make_the_file_at_once_all_read_one_key(tmp_path: Path) -> None:
    source = FileSecret(MASTER_KEY, tmp_path / "master.key")
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: source.create(), range(64)))
    assert len(keys) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o777])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_helps(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master key"
    path.write_text(KEY.hex())
    path.chmod(mode)
    with pytest.raises(MasterKeyError, match="chmod 600") as caught:
        load_key(FileSecret(MASTER_KEY, path), create=True)
    subprocess.run(str(caught.value).split("run: ")[1], shell=True, check=True)
    assert load_key(FileSecret(MASTER_KEY, path)).id == MasterKey(KEY).id


def test_a_missing_file_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match=r"missing.*OSLER_MASTER_KEY_FILE"):
        load_key(FileSecret(MASTER_KEY, tmp_path / "master.key"))
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_or_is_no_file_is_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MasterKeyError, match="cannot be written"):
        FileSecret(MASTER_KEY, tmp_path / "file" / "master.key").create()
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(MasterKeyError):
        FileSecret(MASTER_KEY, tmp_path / "folder").load()


def test_a_cut_off_file_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    with pytest.raises(MasterKeyError, match="openssl"):
        load_key(FileSecret(MASTER_KEY, path), create=True)


def test_a_command_prints_the_key() -> None:
    words = [sys.executable, "-c", f"print('{KEY.hex()}')"]
    assert CommandSecret(MASTER_KEY, words).load() == KEY
    assert CommandSecret(MASTER_KEY, f"echo {KEY.hex()}").load() == KEY
    assert CommandSecret(MASTER_KEY, f"sh -c 'echo {KEY.hex()[:32]}{KEY.hex()[32:]} | cat'").load() == KEY


def test_a_command_runs_without_a_shell(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError):
        CommandSecret(MASTER_KEY, f"echo x; touch {tmp_path / 'made'}").load()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/nonexistent/command", "cannot be run"),
        ("false", "exit code 1"),
        ("echo secret-but-no-key", "openssl rand"),
        ("sh -c 'kill -9 $$'", "exit code -9"),
        ("echo 'unclosed", "OSLER_MASTER_KEY_COMMAND is not a command"),
    ],
)
def test_a_command_that_gives_no_key_says_what_to_do_and_not_what_it_printed(
    command: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MasterKeyError, match=message) as caught:
        CommandSecret(MASTER_KEY, command).load()
    assert "secret-but-no-key" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    source = CommandSecret(MASTER_KEY, f"sh -c 'sleep 60 & echo $! > {marker}; wait'", timeout=2.5)
    with pytest.raises(MasterKeyError, match=r"longer than 2\.5 s"):
        source.load()
    child = int(marker.read_text())
    deadline = time.monotonic() + PATIENCE
    while alive(child):
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.01)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # a zombie that nobody has waited for is not alive
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


def test_the_source_is_chosen_by_what_is_set(tmp_path: Path) -> None:
    file = tmp_path / "k"
    assert isinstance(secret_source(MASTER_KEY, file=file), FileSecret)
    assert isinstance(secret_source(MASTER_KEY, file=file, value="x"), ValueSecret)
    assert isinstance(secret_source(MASTER_KEY, file=file, command="x"), CommandSecret)
    with pytest.raises(MasterKeyError, match="Both"):
        secret_source(MASTER_KEY, file=file, value="x", command="x")
    with pytest.raises(MasterKeyError, match="There is no master key"):
        ValueSecret(MASTER_KEY, " ").create()


# The digest key


@pytest.mark.anyio
async def test_api_keys_are_digested_with_a_key_that_is_loaded_when_needed(tmp_path: Path) -> None:
    source = FileSecret(DIGEST_KEY, tmp_path / "digest.key")
    digest = HmacKeyDigest(source, pause=0)
    with pytest.raises(MasterKeyError, match="digest key file"):
        await digest.digest("osl_1")
    source.create()
    one = await digest.digest("osl_1")
    assert one == await HmacKeyDigest(source).digest("osl_1") != await digest.digest("osl_2")
    assert len(one) == 32
    assert await HmacKeyDigest(ValueSecret(DIGEST_KEY, KEY.hex())).digest("osl_1") != one


class Unwilling:
    """A source that answers when it is let, and fails as long as ``error`` is set; counts how often it was asked."""

    name = DIGEST_KEY

    def __init__(self, error: Exception | None, *, held: bool = False) -> None:
        self.error = error
        self.asked = 0
        self.let = threading.Event()
        self.was_let = True
        if not held:
            self.let.set()

    def exists(self) -> bool:
        return True

    def load(self) -> bytes:
        self.asked += 1
        self.was_let = self.let.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return KEY

    def create(self) -> bytes:
        return self.load()


@pytest.mark.anyio
async def test_a_digest_key_that_does_not_load_is_tried_again_but_not_for_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("osler.storage.sealing.digest.monotonic", lambda: now)
    source = Unwilling(MasterKeyError("mend it"))
    digest = HmacKeyDigest(source, pause=0.2)
    refusals = await asyncio.gather(*(digest.digest("osl_1") for _ in range(50)), return_exceptions=True)
    now += 0.19
    with pytest.raises(MasterKeyError, match="mend it"):
        await digest.digest("osl_1")
    assert source.asked == 1
    assert all(isinstance(each, MasterKeyError) and each.args == ("mend it",) for each in refusals)
    assert len({id(each) for each in refusals}) == 50
    source.error = None  # the operator mends it; nobody starts anything anew
    now += 0.02
    assert await digest.digest("osl_1") == await HmacKeyDigest(ValueSecret(DIGEST_KEY, KEY.hex())).digest("osl_1")
    assert source.asked == 2


@pytest.mark.anyio
async def test_a_slow_command_for_the_digest_key_holds_up_nobody_else_and_outlives_who_gave_up() -> None:
    source = Unwilling(None, held=True)
    digest = HmacKeyDigest(source)
    first = asyncio.create_task(digest.digest("osl_1"))
    second = asyncio.create_task(digest.digest("osl_2"))
    while not source.asked:
        await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    source.let.set()
    assert len(await second) == 32
    assert source.was_let, "the event loop stood still while the command ran"
    assert source.asked == 1


@pytest.mark.anyio
async def test_whatever_fails_about_the_digest_key_no_request_goes_on(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="digest key could not be loaded"):
        await HmacKeyDigest(Unwilling(RuntimeError("no more threads"))).digest("osl_1")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "short").write_text("abc")
    for path in (pipe, tmp_path / "folder", tmp_path / "short", tmp_path / "none"):
        with pytest.raises(MasterKeyError):
            await asyncio.wait_for(HmacKeyDigest(FileSecret(DIGEST_KEY, path)).digest("osl_1"), PATIENCE)
    for command in ("false", "echo nothing", "no-such-program-anywhere", "'"):
        with pytest.raises(MasterKeyError):
            await HmacKeyDigest(CommandSecret(DIGEST_KEY, command)).digest("osl_1")


def test_the_wrapped_key_has_the_documented_form() -> None:
    wrapped, _ = KeyRing(MasterKey(KEY)).new_object_key()
    assert isinstance(wrapped, ObjectKey)
    assert len(wrapped.wrapped) == 12 + 32 + 16
    assert wrapped.master == MasterKey(KEY).id != MasterKey(KEY[::-1]).id
    assert len(wrapped.master) == 16
