"""``osler backup``, ``osler restore`` and ``osler master-key`` as an operator has them, on a deployment that works."""

import asyncio
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from osler.access.model import KeyKind
from osler.audit.model import OPERATOR, SYSTEM
from osler.bootstrap import Core, initialise, open_core, read_settings
from osler.cli import exits
from osler.config import Settings
from osler.encounters.model import EncounterState, ErasureReason, ErasureScope
from osler.kernel.errors import NoSpeechError, UnreadableFileError
from osler.kernel.jobs import JobFilter, JobState
from osler.speech.service import SpeechService
from tests.integration.cli import Finished
from tests.server_lab import clean_environment

MARKER = "Zebulon"


def sound(seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(MARKER.encode() * int(seconds * 32000 / len(MARKER)))
    return file.getvalue()


SOUND = sound()


@dataclass
class Operator:
    """Runs commands on one data folder, and opens its core in this process."""

    data: Path
    environment: dict[str, str]
    monkeypatch: pytest.MonkeyPatch

    def osler(self, *arguments: str | Path, **environment: str) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "osler", *map(str, arguments)],
            env=clean_environment(self.data, **{**self.environment, **environment}),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str | Path, **environment: str) -> dict[str, object]:
        done = self.osler(*arguments, "--json", **environment)
        assert done.code == 0, done.err
        shown: dict[str, object] = json.loads(done.out)
        return shown

    @contextmanager
    def settings(self) -> Iterator[Settings]:
        with self.monkeypatch.context() as patch:
            for name in ("OSLER_DATA", "OSLER_DATABASE"):
                patch.delenv(name, raising=False)
            for name, value in {"OSLER_DATA": str(self.data), **self.environment}.items():
                patch.setenv(name, value)
            yield read_settings()

    @asynccontextmanager
    async def core(
        self, *, execute: bool = False, speech: Callable[[], SpeechService] | None = None
    ) -> AsyncIterator[Core]:
        with self.settings() as settings:
            async with open_core(settings, execute=execute, speech=speech) as core:
                yield core


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    operator = Operator(tmp_path / "source", {}, monkeypatch)
    with operator.settings() as settings:
        asyncio.run(initialise(settings))
    return operator


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def target(
    request: pytest.FixtureRequest, source: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Operator:
    """A new machine: nothing but the keys, which its operator kept."""
    environment = {}
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        environment["OSLER_DATABASE"] = server.create_database(f"restore_{tmp_path.name[-40:].lower()}")
    (tmp_path / "target").mkdir(mode=0o700)
    shutil.copytree(source.data / "keys", tmp_path / "target" / "keys")
    return Operator(tmp_path / "target", environment, monkeypatch)


async def chunks() -> AsyncIterator[bytes]:
    yield SOUND


@dataclass(frozen=True)
class Made:
    organization: str
    user: str
    key: str
    kept: str
    erased: str


async def make(source: Operator) -> Made:
    """Make a practice with two visits through the services that the doors use."""
    async with source.core() as core:
        organization = await core.access.create_organization(OPERATOR, "Practice")
        user = await core.access.create_user(OPERATOR, organization.id, "doctor@example.org", "d1")
        _, key = await core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        visits = []
        for _ in range(2):
            visit = await core.encounters.create(OPERATOR, organization.id, user.id, name=MARKER)
            await core.audio.upload(OPERATOR, organization.id, visit.id, chunks(), media_type="audio/wav")
            visits.append(visit.id)
    return Made(organization.id, user.id, key, visits[0], visits[1])


def test_a_deployment_comes_back_on_another_machine(source: Operator, target: Operator, tmp_path: Path) -> None:
    made = asyncio.run(make(source))
    file = tmp_path / "osler.backup"
    shown = source.json("backup", file)
    assert shown["complete"] is True and shown["objects"] == 2
    assert source.json("backup", "--verify", file)["backup_id"] == shown["backup_id"]
    assert MARKER.encode() not in file.read_bytes()

    async def erase() -> None:
        async with source.core() as core:
            await core.erasure.erase(
                OPERATOR, made.organization, made.erased, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
            )

    asyncio.run(erase())
    # The blob store outlived the database, or was copied apart from it: the ledger lies there.
    shutil.copytree(source.data / "blobs" / "erasures", target.data / "blobs" / "erasures")

    restored = target.json("restore", file)
    assert restored["erased_again"] == 1 and restored["api_keys_work"] is True and restored["continued"] is False

    async def check() -> None:
        async with target.core() as core:
            kept = await core.encounters.get(made.organization, made.kept)
            assert kept.name == MARKER
            (recording,) = await core.audio.recordings(made.organization, made.kept)
            _, (segment,) = await core.audio.segments(made.organization, made.kept, recording.id)
            assert segment.blob is not None
            assert b"".join([piece async for piece in core.vault.stream(segment.blob)]) == SOUND
            erased = await core.encounters.get(made.organization, made.erased)
            assert erased.state is EncounterState.ERASED
            key = await core.access.authenticate(KeyKind.TENANT, made.key)
            assert key.organization_id == made.organization
            (found,) = await core.access.users(made.organization)
            assert found.email == "doctor@example.org"
            # Found again by its blind index: no second one is made.
            again = await core.access.find_or_create_user(SYSTEM, made.organization, "doctor@example.org", "d1")
            assert again.id == made.user
            for chain in await core.audit.organizations():
                assert not (await core.audit.verify(chain)).broken
            jobs = await core.jobs.list(JobFilter(states=frozenset({JobState.QUEUED})))
            assert {job.subject["encounter"] for job in jobs} >= {made.kept}

    asyncio.run(check())
    assert target.osler("audit", "verify").code == 0
    again = target.osler("restore", file)
    assert again.code != 0 and again.is_one_clear_line() and "not empty" in again.err
    left = b"".join(path.read_bytes() for path in target.data.rglob("*") if path.is_file())
    assert MARKER.encode() not in left and made.key.encode() not in left


def test_work_that_was_not_finished_goes_on_after_a_restore(
    source: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.run(make(source))
    source.json("backup", tmp_path / "osler.backup")
    target = Operator(tmp_path / "target", {}, monkeypatch)
    (tmp_path / "target").mkdir()
    shutil.copytree(source.data / "keys", target.data / "keys")
    target.json("restore", tmp_path / "osler.backup")

    def speech() -> SpeechService:
        raise NoSpeechError("the recording holds no speech")

    async def work() -> set[JobState]:
        async with target.core(execute=True, speech=speech) as core:
            end = time.monotonic() + 300
            while True:
                jobs = await core.jobs.list(JobFilter(organization_id=made.organization))
                states = {job.state for job in jobs}
                if states.isdisjoint({JobState.QUEUED, JobState.RUNNING}) or time.monotonic() > end:
                    return states
                await asyncio.sleep(0.1)

    states = asyncio.run(work())
    assert states and states <= {JobState.DONE, JobState.FAILED}


def test_a_restore_that_is_killed_at_any_instant_is_finished_by_the_next(
    source: Operator, target: Operator, tmp_path: Path
) -> None:
    made = asyncio.run(make(source))
    file = tmp_path / "osler.backup"
    source.json("backup", file)
    begun = time.monotonic()
    target.osler("backup", "--verify", file)
    start_up = time.monotonic() - begun
    done = False
    for share in (0.9, 1.1, 1.4):
        process = subprocess.Popen(
            [sys.executable, "-m", "osler", "restore", str(file)],
            env=clean_environment(target.data, **target.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            try:
                process.wait(start_up * share)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        done = done or process.returncode == 0
    if not done:
        last = target.osler("restore", file)
        # Killed after its last commit, it was complete; what is below says whether that is so.
        assert last.code == 0 or "not empty" in last.err

    async def check() -> None:
        async with target.core() as core:
            for encounter_id in (made.kept, made.erased):
                visit = await core.encounters.get(made.organization, encounter_id)
                assert visit.name == MARKER
            assert await core.jobs.list(JobFilter())

    asyncio.run(check())


def test_without_the_digest_key_a_restore_says_that_api_keys_are_dead(
    source: Operator, target: Operator, tmp_path: Path
) -> None:
    asyncio.run(make(source))
    source.json("backup", tmp_path / "osler.backup")
    (target.data / "keys" / "digest.key").unlink()
    done = target.osler("restore", tmp_path / "osler.backup", "--json")
    assert done.code == 0 and json.loads(done.out)["api_keys_work"] is False
    assert "digest key" in done.err and done.is_one_clear_line()


def test_an_older_backup_opens_with_the_former_master_key(source: Operator, target: Operator, tmp_path: Path) -> None:
    made = asyncio.run(make(source))
    file = tmp_path / "osler.backup"
    source.json("backup", file)
    before = source.json("master-key", "show-id")
    rotated = source.json("master-key", "rotate")
    assert rotated["former"] == [before["master_key_id"]]
    after = source.json("master-key", "show-id")
    assert after["master_key_id"] == rotated["master_key_id"] != before["master_key_id"]
    assert list(after["wrapped"]) == [after["master_key_id"]]  # type: ignore[call-overload]
    (former,) = (source.data / "keys").glob("*.former")
    assert source.json("backup", "--verify", file)["complete"] is True
    # A machine that has the new key only.
    shutil.copy(source.data / "keys" / "master.key", target.data / "keys" / "master.key")
    refused = target.osler("restore", file)
    assert refused.code != 0 and refused.is_one_clear_line() and str(before["master_key_id"]) in refused.err
    assert not (target.data / "osler.db").exists()
    target.json("restore", file, "--former-key-file", former)
    shown = target.json("master-key", "show-id")
    assert shown["wrapped"] == {shown["master_key_id"]: sum(before["wrapped"].values()) + 0}  # type: ignore[attr-defined]

    async def check() -> None:
        async with target.core() as core:
            assert (await core.encounters.get(made.organization, made.kept)).name == MARKER

    asyncio.run(check())


def test_mistakes_are_one_clear_line_and_change_nothing(source: Operator, tmp_path: Path) -> None:
    (tmp_path / "no.backup").write_bytes(b"something else entirely")
    (tmp_path / "there").write_text("precious")
    for arguments in (
        ("backup", tmp_path / "there"),
        ("backup", tmp_path / "nowhere" / "file"),
        ("backup", "--verify", tmp_path / "no.backup"),
        ("backup", "--verify", tmp_path / "missing"),
        ("restore", tmp_path / "no.backup"),
        ("restore", tmp_path / "missing"),
        ("master-key", "rotate", "--new-key-file", tmp_path / "missing"),
        ("master-key", "rotate", "--new-key-file", tmp_path / "there"),
    ):
        done = source.osler(*arguments)
        assert done.code not in (0, 70), arguments
        assert done.is_one_clear_line(), done.err
    for command in (
        ("master-key", "rotate", "--new-key-file"),
        ("restore", tmp_path / "no.backup", "--former-key-file"),
    ):
        done = source.osler(*command, tmp_path / "missing")
        assert done.code == exits.CODES[UnreadableFileError]
        assert "OSLER_" not in done.err, "no setting is at fault"
    assert (tmp_path / "there").read_text() == "precious"
    assert sorted(path.name for path in (source.data / "keys").iterdir()) == ["digest.key", "master.key"]
