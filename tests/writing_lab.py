"""Practices whose visits are written about: the scribe API on a core that runs its jobs, and a visit to write of."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from osler.api.app import create_app
from osler.api.scribe.app import BASE_PATH
from osler.bootstrap import initialise, note_service, open_core
from osler.config import Settings
from osler.kernel.ids import new_id
from osler.notes.service import NoteService
from osler.speech.model import Transcript, Turn, Word
from osler.speech.service import SpeechService
from tests.pipeline_lab import CLOCK, ToneDetector, ToneEncoder, ToneTranscriber, chunks_of, tones
from tests.scribe_practice import Clinician, Town

SOAP = "17cf925978450961a853cd40"
LETTER = "eb5e3698a363be3746cc817f"

_SAID = (
    ("clinician", "Good morning. What brings you in today?"),
    ("patient", "I have had a cough for two weeks and a fever of 38.5."),
    ("clinician", "Any chest pain or shortness of breath?"),
    ("patient", "No, no chest pain. I do get a bit breathless on the stairs."),
    ("clinician", "Do you take any medicines?"),
    ("patient", "I take lisinopril 10 mg every day for my high blood pressure."),
    ("clinician", "Any allergies?"),
    ("patient", "I am allergic to penicillin. It gives me a rash."),
    ("clinician", "Your blood pressure is 138/82. The lungs sound clear."),
    ("clinician", "I think this is bronchitis. I will order a chest X-ray."),
    ("clinician", "Increase the lisinopril to 20 mg daily and come back in two weeks."),
)


def _turn(number: int, speaker: str, text: str) -> Turn:
    words, at = [], 0
    for each in text.split():
        at = text.index(each, at)
        second = round(10.0 * number + at / 10, 2)
        words.append(Word(each, each, second, round(second + 0.1, 2), 0.9, at))
        at += len(each)
    return Turn(speaker, text, words[0].start, words[-1].end, tuple(words))


VISIT = Transcript(turns=tuple(_turn(number, *said) for number, said in enumerate(_SAID)), language="en")


@asynccontextmanager
async def opened_practice_town(
    folder: Path, database_url: str, *, engine: Any = "inline", notes: Callable[[], NoteService] = note_service
) -> AsyncIterator[Town]:
    """Make a deployment that runs its jobs, and open its door."""
    settings = Settings(data=folder / "data", database=SecretStr(database_url))
    await initialise(settings)
    hears = SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder())
    async with open_core(settings, execute=True, engine=engine, speech=lambda: hears, notes=notes) as core:
        transport = httpx.ASGITransport(create_app(core), client=("192.0.2.7", 4711), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://osler{BASE_PATH}", timeout=60) as http:
            yield Town(core, http)


@pytest.fixture(scope="module")
async def writing_town(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """One deployment for the tests of a module; each test has practices of its own."""
    folder = tmp_path_factory.mktemp("writing")
    async with opened_practice_town(folder, f"sqlite:///{folder / 'osler.db'}") as town:
        yield town


@pytest.fixture
async def writing_clinician(writing_town: Town) -> Clinician:
    """A clinician of a practice of his own."""
    return await writing_town.clinician()


async def a_visit(clinician: Clinician, transcript: Transcript = VISIT) -> str:
    """Return the session of a visit that was recorded and transcribed."""
    session_id = await clinician.session()
    await hear(clinician, session_id, transcript)
    return session_id


async def hear(clinician: Clinician, session_id: str, transcript: Transcript = VISIT) -> str:
    """Have a session's transcript be that one: after a recording's own. Returns its id."""
    core, organization_id = clinician.core, clinician.organization.id
    recording, _ = await core.audio.upload(
        clinician.user_as_actor, organization_id, session_id, chunks_of(tones(0)), media_type="audio/wav"
    )
    async with core.database.write() as transaction:
        encounter = await core.encounters.content_allowed(transaction, organization_id, session_id)
        version = await core.transcripts.store(transaction, recording, new_id(), transcript, CLOCK.now())
        await core.notes.transcript_settled(transaction, encounter, None)
    return version.id
