"""``osler jobs``: failed work is visible, with its error's code, and can be done again."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from osler.bootstrap import Core, open_core
from osler.cli import exits
from osler.kernel.errors import ConflictError, EngineError, NotFoundError
from osler.kernel.jobs import JobKind, JobState
from osler.speech.service import SpeechService
from tests.integration.cli import Finished, osler
from tests.pipeline_lab import CLIENT, ToneDetector, ToneEncoder, ToneTranscriber, chunks_of, tones

Result = TypeVar("Result")


def succeed(done: Finished) -> Finished:
    assert done.code == 0, done.err
    return done


def answer(*args: str) -> Any:
    return json.loads(succeed(osler(*args, "--json")).out)


def working() -> SpeechService:
    return SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder())


def failing() -> SpeechService:
    raise EngineError("The speech model cannot be loaded.")


def inside(work: Callable[[Core], Awaitable[Result]], speech: Callable[[], SpeechService]) -> Result:
    """Do ``work`` in a process that runs jobs in line, those included that wait."""

    async def run() -> Result:
        async with open_core(execute=True, engine="inline", speech=speech) as core:
            return await work(core)

    return asyncio.run(run())


@pytest.fixture
def failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A deployment with an encounter whose transcription failed; return the ids."""
    for name in list(os.environ):
        if name.startswith("OSLER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OSLER_DATA", str(tmp_path / "data"))
    succeed(osler("init"))
    organization = answer("org", "create", "Practice")["organization_id"]
    user = answer("user", "create", "--org", organization, "--email", "q@example.org", "--third-party-id", "7")

    async def upload(core: Core) -> str:
        encounter = await core.encounters.create(CLIENT, organization, user["user_id"])
        await core.audio.upload(CLIENT, organization, encounter.id, chunks_of(tones(0, 1)))
        return encounter.id

    return {"organization": organization, "encounter": inside(upload, failing)}


def test_failed_jobs_are_listed_and_done_again(failed: dict[str, str]) -> None:
    (job,) = answer("jobs", "list", "--state", "failed")["jobs"]
    assert (job["kind"], job["state"], job["error"], job["attempt"]) == (
        JobKind.TRANSCRIBE_RECORDING,
        JobState.FAILED,
        "EngineError",
        1,
    )
    assert job["subject"]["encounter"] == failed["encounter"]
    assert job["organization_id"] == failed["organization"]
    text = succeed(osler("jobs", "list")).out
    assert job["job_id"] in text and "EngineError" in text
    (retried,) = answer("jobs", "retry", job["job_id"])["jobs"]
    assert (retried["job_id"], retried["state"], retried["attempt"]) == (job["job_id"], "queued", 2)

    async def read(core: Core) -> list[str]:
        version = await core.transcripts.current(failed["organization"], failed["encounter"])
        assert version is not None
        return [word.heard for turn in version.transcript.turns for word in turn.words]

    assert [word.lower() for word in inside(read, working)] == ["aconite", "belladonna"]
    assert [job["state"] for job in answer("jobs", "list")["jobs"]] == ["done"]
    assert answer("jobs", "list", "--state", "failed") == {"jobs": []}
    assert osler("jobs", "retry", job["job_id"]).code == exits.CODES[ConflictError]


def test_all_failed_jobs_of_one_organization_are_done_again(failed: dict[str, str]) -> None:
    assert answer("jobs", "retry", "--all-failed", "--org", "another") == {"jobs": []}
    assert len(answer("jobs", "list", "--org", failed["organization"])["jobs"]) == 1
    assert answer("jobs", "list", "--org", "another") == {"jobs": []}
    (retried,) = answer("jobs", "retry", "--all-failed", "--org", failed["organization"])["jobs"]
    assert retried["state"] == "queued"


def test_retry_wants_one_job_or_all_of_them(failed: dict[str, str]) -> None:
    for wrong in (["retry"], ["retry", "x", "--all-failed"], ["retry", "x", "--org", "o"]):
        assert osler("jobs", *wrong).code == exits.USAGE
    assert osler("jobs", "retry", "no-such-job").code == exits.CODES[NotFoundError]
