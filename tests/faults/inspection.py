"""What stands in the core after a run with faults, held against the client's ledger."""

import hashlib
from typing import Any

from osler.bootstrap import Core
from osler.kernel.jobs import JobState
from osler.notes.model import TextStatus
from tests.faults.client import Ledger

Texts = tuple[list[tuple[str, str]], str]


async def inspect(core: Core, organization: str, ledger: Ledger, *, automatic: bool) -> dict[str, Texts]:
    """Assert that nothing acknowledged is lost, nothing doubled and no work left.

    Returns of each visit that has a note its turns (speaker, text) and the note's text.
    """
    acts = ledger.lines()
    for act in acts:
        await getattr(_Check(core, organization, automatic), act["act"])(act)
    left = {each: number for each, number in (await core.jobs.counts()).items() if each[1] is not JobState.DONE}
    assert not left, f"work is left or failed: {left}"
    broken = (await core.audit.verify(organization)).broken
    assert not broken, f"the audit chain is broken: {broken}"
    visits = [a["encounter"] for a in acts if a["act"] == "note"]
    return {e: await _texts(core, organization, e) for e in visits}


async def _texts(core: Core, organization: str, encounter: str) -> Texts:
    transcript = await core.transcripts.current(organization, encounter)
    note = await core.notes.current(organization, encounter)
    assert transcript is not None and note is not None and note.content is not None
    return [(turn.speaker, turn.text) for turn in transcript.transcript.turns], note.content.text


def _assert_released_once(slots: list[str]) -> None:
    """A billing summary is there as well if the note names anything that has a code."""
    always = ["checklist", "note", "transcript"]
    assert sorted(slots) in (always, ["billing", *always]), f"released: {sorted(slots)}"


class _Check:
    """One method per act of the ledger."""

    def __init__(self, core: Core, organization: str, automatic: bool) -> None:
        self._core = core
        self._organization = organization
        self._automatic = automatic

    async def encounter(self, act: dict[str, Any]) -> None:
        await self._core.encounters.get(self._organization, act["encounter"])

    async def recording(self, act: dict[str, Any]) -> None:
        recordings = await self._core.audio.recordings(self._organization, act["encounter"])
        assert act["recording"] in {r.id for r in recordings}, "a recording is lost"

    async def segment(self, act: dict[str, Any]) -> None:
        _, segments = await self._core.audio.segments(self._organization, act["encounter"], act["recording"])
        (segment,) = (s for s in segments if s.index == act["index"])
        assert segment.blob is not None
        digest = hashlib.sha256()
        async for chunk in self._core.vault.stream(segment.blob):
            digest.update(chunk)
        assert digest.hexdigest() == act["sha256"], "the bytes of a segment are not those that were acknowledged"

    async def finish(self, act: dict[str, Any]) -> None:
        recordings = await self._core.audio.recordings(self._organization, act["encounter"])
        (recording,) = (r for r in recordings if r.id == act["recording"])
        assert recording.state.value == "complete", f"a recording is {recording.state.value}"

    async def note(self, act: dict[str, Any]) -> None:
        versions = await self._core.notes.versions(self._organization, act["encounter"])
        assert [v.status for v in versions] == [TextStatus.CREATED], "a note is lost or doubled"
        released = await self._core.release.of_encounter(self._organization, act["encounter"])
        if self._automatic:
            _assert_released_once([document.slot for document in released])

    async def sign(self, act: dict[str, Any]) -> None:
        encounter = await self._core.encounters.get(self._organization, act["encounter"])
        assert encounter.state.value == "signed"
        released = await self._core.release.of_encounter(self._organization, act["encounter"])
        _assert_released_once([document.slot for document in released])
