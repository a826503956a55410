"""The whole way on real engines: the sample visit in live segments and as a file, to released notes; all sealed."""

import io
import logging
import re
import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest

from osler.audio.decode import open_recording
from osler.audio.model import SAMPLE_RATE, Samples
from osler.bootstrap import note_service, speech_service
from osler.encounters.model import EncounterPatient, EncounterState
from osler.kernel.jobs import JobState
from osler.notes.model import TextStatus
from osler.storage.database import SqlDatabase
from tests.pipeline_lab import CLIENT, Laboratory, laboratory

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

VISIT = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"
PATIENT = "Zebedee Quillfeather"
LIVE_SECONDS = 10


def wav(samples: Samples) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def stretches(text: str) -> set[bytes]:
    """Return every four words in a row, as they stand and in lower case: what nobody writes by chance."""
    words = re.findall(r"\S+", text)
    runs = {" ".join(words[i : i + 4]) for i in range(len(words) - 3)}
    return {form.encode() for run in runs for form in (run, run.lower()) if len(run) > 12}


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_visit_becomes_a_note_and_no_word_of_it_stands_in_plain_text(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    caplog.set_level(logging.DEBUG)
    database = SqlDatabase(sqlite_url)
    lab = await laboratory(
        database, tmp_path / "osler", load=lambda: speech_service("tiny.en"), notes_by=note_service()
    )
    await lab.begin()
    audio = VISIT.read_bytes()
    samples = np.concatenate(list(open_recording(VISIT)))

    uploaded = await lab.encounter(patient=EncounterPatient(name=PATIENT))
    await lab.upload(uploaded, audio)
    await lab.notes.request(CLIENT, lab.organization.id, uploaded.id)

    live = await lab.encounter(patient=EncounterPatient(name=PATIENT))
    recording_id = await lab.start(live)
    step = LIVE_SECONDS * SAMPLE_RATE
    part = samples[: 4 * step]
    for index in (1, 0, 3, 2):
        await lab.segment(live, recording_id, index, wav(part[index * step : (index + 1) * step]))
    _, segments, heard = await lab.transcripts.live(lab.organization.id, live.id, recording_id)
    assert len(heard) == 4 and all(h.transcript.turns for h in heard)
    assert [s.seconds for s in segments] == pytest.approx([LIVE_SECONDS] * 4)
    await lab.finish(live, recording_id)
    await lab.notes.request(CLIENT, lab.organization.id, live.id)

    texts = [t.text for h in heard for t in h.transcript.turns]
    for encounter, length in ((uploaded, len(samples)), (live, len(part))):
        texts += await check(lab, encounter.id, length / SAMPLE_RATE)

    secrets = {PATIENT.encode(), audio[1000:1064], wav(part)[50_000:50_064]}
    for text in texts:
        secrets |= stretches(text)
    assert len(secrets) > 300
    database_files = files_below(Path(sqlite_url.removeprefix("sqlite:///")).parent)
    stored = files_below(tmp_path / "osler")
    assert any(path.name.endswith("-wal") for path in database_files) and len(stored) == 5
    assert any(b"Practice" in path.read_bytes() for path in database_files)  # what is not sealed is found
    for path in [*database_files, *stored, *files_below(temporary)]:
        found = path.read_bytes()
        assert not any(secret in found for secret in secrets), f"something stands in plain text in a {path.suffix} file"
    log = caplog.text.encode()
    assert not any(secret in log for secret in secrets), "something stands in the log"
    await database.dispose()


async def check(lab: Laboratory, encounter_id: str, seconds: float) -> list[str]:
    """Make sure that an encounter is complete, grounded and released; return what was said and written."""
    transcript = await lab.transcripts.current(lab.organization.id, encounter_id)
    note = await lab.notes.current(lab.organization.id, encounter_id)
    assert transcript is not None and note is not None and note.content is not None
    assert transcript.transcript.duration == pytest.approx(seconds, abs=0.05)
    assert (note.status, note.transcript_id, note.failure) == (TextStatus.CREATED, transcript.id, None)
    evidence = [e for section in note.content.sections for s in section.sentences for e in s.evidence]
    assert evidence
    for each in evidence:
        assert transcript.transcript.turns[each.turn].text[each.start : each.end] == each.quote
    assert {turn.speaker for turn in transcript.transcript.turns} >= {"clinician", "patient"}
    shown = await lab.release.of_encounter(lab.organization.id, encounter_id)
    assert {d.source_id for d in shown} == {transcript.id, note.id}
    encounter = await lab.encounters.get(lab.organization.id, encounter_id)
    assert encounter.state is EncounterState.COMPLETED
    assert {job.state for job in await lab.jobs_of(encounter)} == {JobState.DONE}
    return [*(turn.text for turn in transcript.transcript.turns), note.content.text]
