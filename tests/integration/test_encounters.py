"""Encounters: what is sent changes and nothing else, nobody loses an update, nobody sees another's patient."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from osler.access.model import ConsentPolicy
from osler.encounters.model import (
    Encounter,
    EncounterFilter,
    EncounterPatient,
    EncounterState,
    ErasureReason,
    ErasureScope,
    Purpose,
)
from osler.kernel.errors import (
    ConflictError,
    ConsentRequiredError,
    CorruptedError,
    ErasedError,
    InvalidFieldError,
    NotFoundError,
)
from osler.kernel.ids import new_encounter_id, new_id
from osler.kernel.pages import Position
from osler.storage.database import SqlDatabase
from osler.storage.tables.encounters import encounters
from tests.encounters_lab import DOCTOR, MARKER, NOON, EncountersLab, HandClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


EVERY_FIELD: dict[str, Any] = {
    "name": "Follow-up",
    "patient": EncounterPatient("Jane Roe", "female", date(1971, 2, 3), "retired"),
    "clinician_notes": ("first", "second"),
    "ehr_appointment_id": "APPT-1",
    "ehr_patient_id": "P-1",
    "ehr_provider": "best-practice",
    "duration": 61,
    "language_code": "en-AU",
    "output_language_code": "de",
    "transcribe_mode": "transcribe",
    "recording_status": "in_progress",
    "session_status": "started",
    "created_time_local": datetime(2026, 3, 4, 22, 0, tzinfo=UTC),
    "generate_output_without_recording": True,
    "purpose": Purpose.TRAINING,
}


async def test_every_field_is_given_back_as_it_was_set(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    profile = await lab.profiles.create(DOCTOR, organization.id, user.id)
    former = await lab.encounters.create(DOCTOR, organization.id, user.id)
    made = await lab.encounters.create(
        DOCTOR,
        organization.id,
        user.id,
        patient_profile_id=profile.id,
        linked_encounter_ids=[former.id],
        consent_given=True,
        **EVERY_FIELD,
    )
    read = await lab.encounters.get(organization.id, made.id)
    assert read == made
    for field, value in EVERY_FIELD.items():
        assert getattr(read, field) == value, field
    assert read.linked_encounter_ids == (former.id,)
    assert read.consent.given is True
    assert made.id.isdecimal()


@pytest.mark.parametrize("field", sorted(EVERY_FIELD))
async def test_a_change_touches_the_field_that_was_sent_and_no_other(lab: EncountersLab, field: str) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id)
    changed = await lab.encounters.change(DOCTOR, organization.id, made.id, {field: EVERY_FIELD[field]})
    assert changed == await lab.encounters.get(organization.id, made.id)
    assert getattr(changed, field) == EVERY_FIELD[field]
    assert changed.revision == made.revision + 1
    assert changed.updated_at > made.updated_at
    assert replace(made, revision=2, updated_at=changed.updated_at, **{field: EVERY_FIELD[field]}) == changed


async def test_of_the_patient_only_what_was_sent_changes(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(
        DOCTOR, organization.id, user.id, patient={"name": "Jane Roe", "birth_date": "1971-02-03"}
    )
    changed = await lab.encounters.change(DOCTOR, organization.id, made.id, {"patient": {"gender": "female"}})
    assert changed.patient == EncounterPatient("Jane Roe", "female", date(1971, 2, 3))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"diagnosis": "x"}, "diagnosis"),
        ({"id": "1"}, "id"),
        ({"state": "signed"}, "state"),
        ({"owner_id": "1"}, "owner_id"),
        ({"duration": -1}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 2**31}, "duration"),
        ({"language_code": "en; the patient is Jane"}, "language_code"),
        ({"recording_status": "x" * 65}, "recording_status"),
        ({"name": "lone \ud800 surrogate"}, "name"),
        ({"clinician_notes": "one text"}, "clinician_notes"),
        ({"clinician_notes": [None]}, "clinician_notes"),
        ({"patient": "Jane"}, "patient"),
        ({"patient": {"diagnosis": "x"}}, "patient.diagnosis"),
        ({"patient": {"birth_date": "3 February"}}, "patient.birth_date"),
        ({"created_time_local": "noon"}, "created_time_local"),
        ({"created_time_local": datetime.max}, None),
        ({"generate_output_without_recording": "yes"}, "generate_output_without_recording"),
        ({"linked_encounter_ids": ["../1"]}, "linked_encounter_ids"),
        ({"purpose": "fun"}, "purpose"),
        ({"consent_given": "yes"}, "consent_given"),
    ],
)
async def test_a_field_that_cannot_be_used_is_named_and_its_value_is_not(
    lab: EncountersLab, changes: dict[str, Any], named: str | None
) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id)
    if named is None:
        await lab.encounters.change(DOCTOR, organization.id, made.id, changes)
        return
    with pytest.raises(InvalidFieldError) as refused:
        await lab.encounters.change(DOCTOR, organization.id, made.id, changes)
    assert refused.value.field == named
    assert "Jane" not in str(refused.value)
    assert await lab.encounters.get(organization.id, made.id) == made


async def test_an_encounter_links_to_others_of_its_organization_and_not_to_itself(lab: EncountersLab) -> None:
    organization, elsewhere = await lab.organization(), await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id)
    foreign = await lab.encounters.create(DOCTOR, elsewhere.id, (await lab.user(elsewhere)).id)
    for other in (foreign.id, new_encounter_id()):
        with pytest.raises(NotFoundError, match="no such encounter"):
            await lab.encounters.change(DOCTOR, organization.id, made.id, {"linked_encounter_ids": [other]})
    with pytest.raises(InvalidFieldError):
        await lab.encounters.change(DOCTOR, organization.id, made.id, {"linked_encounter_ids": [made.id]})


async def test_nothing_sent_changes_nothing(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, name="a")
    assert await lab.encounters.change(DOCTOR, organization.id, made.id, {}) == made
    assert await lab.encounters.change(DOCTOR, organization.id, made.id, {"name": "a"}) == made
    assert await lab.actions(organization.id, made.id) == ["encounter.created"]


async def test_every_change_is_audited_by_the_names_of_its_fields_and_without_their_values(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, name=MARKER)
    await lab.encounters.change(DOCTOR, organization.id, made.id, {"duration": 3, "patient": {"name": MARKER}})
    first, second = reversed(await lab.audit.list(organization.id, encounter_id=made.id))
    assert (first.event.action, second.event.action) == ("encounter.created", "encounter.changed")
    assert second.event.detail == {"fields": "duration,patient"}
    assert second.event.actor == DOCTOR
    assert MARKER not in repr((first, second))


async def test_changes_of_many_at_once_all_survive(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id)
    changes: list[dict[str, Any]] = [{field: value} for field, value in EVERY_FIELD.items()]
    await asyncio.gather(*(lab.encounters.change(DOCTOR, organization.id, made.id, change) for change in changes))
    read = await lab.encounters.get(organization.id, made.id)
    for field, value in EVERY_FIELD.items():
        assert getattr(read, field) == value, field
    assert read.revision == 1 + len(changes)


async def test_what_was_read_before_another_changed_it_is_not_written_over_that(lab: EncountersLab) -> None:
    organization = await lab.organization()
    made = await lab.encounters.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    await lab.encounters.change(DOCTOR, organization.id, made.id, {"duration": 3})
    with pytest.raises(ConflictError):
        async with lab.database.write() as transaction:
            await lab.encounter_rows.save(transaction, replace(made, name="stale"))


class TestLists:
    async def five(self, lab: EncountersLab) -> tuple[str, str, list[Encounter]]:
        organization = await lab.organization()
        user = await lab.user(organization)
        made = [await lab.encounters.create(DOCTOR, organization.id, user.id, name=str(n)) for n in range(5)]
        return organization.id, user.id, made

    @pytest.mark.parametrize("newest_first", [True, False])
    async def test_pages_follow_one_another_and_miss_none(self, lab: EncountersLab, newest_first: bool) -> None:
        organization_id, _, made = await self.five(lab)
        expected = list(reversed(made)) if newest_first else made
        seen: list[Encounter] = []
        after: Position | None = None
        while True:
            page = await lab.encounters.list(organization_id, limit=2, after=after, newest_first=newest_first)
            seen += page.items
            after = page.following
            if after is None:
                break
        assert seen == expected
        by_offset = await lab.encounters.list(organization_id, limit=2, offset=2, newest_first=newest_first)
        assert list(by_offset.items) == expected[2:4]
        assert await lab.encounters.count(organization_id) == 5

    async def test_encounters_of_one_instant_are_listed_once_each(self, database: SqlDatabase, tmp_path: Path) -> None:
        class StoppedClock:
            def now(self) -> datetime:
                return NOON

        lab = await EncountersLab.open(database, tmp_path, StoppedClock())
        organization_id, _, made = await self.five(lab)
        first = await lab.encounters.list(organization_id, limit=3)
        rest = await lab.encounters.list(organization_id, limit=3, after=first.following)
        listed = [encounter.id for encounter in (*first.items, *rest.items)]
        assert listed == sorted((encounter.id for encounter in made), reverse=True)

    async def test_a_patient_is_found_by_the_id_of_the_ehr_which_stands_nowhere_open(self, lab: EncountersLab) -> None:
        organization_id, user_id, _ = await self.five(lab)
        wanted = await lab.encounters.create(DOCTOR, organization_id, user_id, ehr_patient_id="MRN-00417")
        found = await lab.encounters.list(organization_id, EncounterFilter(ehr_patient_id="mrn-00417 "))
        assert found.items == (wanted,)
        await lab.encounters.change(DOCTOR, organization_id, wanted.id, {"ehr_patient_id": "MRN-2"})
        assert (await lab.encounters.list(organization_id, EncounterFilter(ehr_patient_id="MRN-00417"))).items == ()

    async def test_filters_are_exact(self, lab: EncountersLab) -> None:
        organization_id, user_id, made = await self.five(lab)
        await lab.encounters.change(DOCTOR, organization_id, made[1].id, {"purpose": "demo"})
        for wanted, indexes in (
            (EncounterFilter(purposes=frozenset({Purpose.DEMO})), [1]),
            (EncounterFilter(states=frozenset({EncounterState.SIGNED})), []),
            (EncounterFilter(states=frozenset({EncounterState.OPEN})), [4, 3, 2, 1, 0]),
            (EncounterFilter(owner_id=user_id), [4, 3, 2, 1, 0]),
            (EncounterFilter(owner_id=new_id()), []),
            (EncounterFilter(created_from=made[3].created_at), [4, 3]),
            (EncounterFilter(created_before=made[1].created_at), [0]),
        ):
            page = await lab.encounters.list(organization_id, wanted)
            assert [encounter.id for encounter in page.items] == [made[index].id for index in indexes]
            assert await lab.encounters.count(organization_id, wanted) == len(indexes)


class TestConsent:
    async def encounter(self, lab: EncountersLab, **settings: Any) -> Encounter:
        organization = await lab.organization(**settings)
        user = await lab.user(organization)
        return await lab.encounters.create(DOCTOR, organization.id, user.id)

    async def say(self, lab: EncountersLab, encounter: Encounter, given: bool | None) -> Encounter:
        return await lab.encounters.change(DOCTOR, encounter.organization_id, encounter.id, {"consent_given": given})

    async def ask(self, lab: EncountersLab, encounter: Encounter) -> Encounter:
        async with lab.database.write() as transaction:
            return await lab.encounters.audio_allowed(transaction, encounter.organization_id, encounter.id)

    async def test_where_it_is_required_no_audio_is_stored_before_it_is_given(self, lab: EncountersLab) -> None:
        encounter = await self.encounter(lab, consent=ConsentPolicy.REQUIRED)
        for answer in (None, False):
            await self.say(lab, encounter, answer)
            with pytest.raises(ConsentRequiredError, match="requires the patient's consent"):
                await self.ask(lab, encounter)
        await self.say(lab, encounter, True)
        assert (await self.ask(lab, encounter)).id == encounter.id

    async def test_where_it_is_optional_audio_is_stored_without_it(self, lab: EncountersLab) -> None:
        encounter = await self.encounter(lab)
        await self.ask(lab, encounter)
        await self.say(lab, encounter, False)
        await self.ask(lab, encounter)

    async def test_a_default_false_is_no_withdrawal(self, lab: EncountersLab) -> None:
        encounter = await self.encounter(lab)
        for answer in (False, None, False):
            encounter = await self.say(lab, encounter, answer)
            assert not encounter.consent.withdrawn
            assert encounter.consent.erase_at is None
        made = await lab.encounters.create(DOCTOR, encounter.organization_id, encounter.owner_id, consent_given=False)
        assert not made.consent.withdrawn

    async def test_a_withdrawal_sets_when_to_erase_and_stops_audio_whatever_the_policy(
        self, database: SqlDatabase, tmp_path: Path
    ) -> None:
        clock = HandClock()
        lab = await EncountersLab.open(database, tmp_path, clock)
        encounter = await self.encounter(lab, consent_grace=timedelta(hours=3))
        await self.say(lab, encounter, True)
        changed = await self.say(lab, encounter, False)
        assert changed.consent.withdrawn
        assert changed.consent.erase_at == changed.updated_at + timedelta(hours=3)
        with pytest.raises(ConsentRequiredError, match="withdrew"):
            await self.ask(lab, encounter)
        assert await self.say(lab, encounter, False) == changed
        assert await self.say(lab, encounter, None) == changed
        assert await lab.actions(encounter.organization_id, encounter.id) == [
            "encounter.created",
            "encounter.changed",
            "consent.given",
            "encounter.changed",
            "consent.withdrawn",
        ]

    async def test_given_again_within_the_grace_nothing_is_erased(self, database: SqlDatabase, tmp_path: Path) -> None:
        clock = HandClock()
        lab = await EncountersLab.open(database, tmp_path, clock)
        encounter = await self.encounter(lab, consent_grace=timedelta(hours=3))
        await lab.add_audio(encounter)
        for answer in (True, False):
            await self.say(lab, encounter, answer)
        clock.pass_by(timedelta(hours=2, minutes=59))
        changed = await self.say(lab, encounter, True)
        assert changed.consent.erase_at is None
        await self.ask(lab, encounter)
        clock.pass_by(timedelta(days=2))
        assert await lab.erasure.run_policies(clock.now()) == 0

    async def test_given_again_after_the_grace_what_was_recorded_before_still_goes(
        self, database: SqlDatabase, tmp_path: Path
    ) -> None:
        clock = HandClock()
        lab = await EncountersLab.open(database, tmp_path, clock)
        encounter = await self.encounter(lab, consent_grace=timedelta(hours=3))
        await lab.add_audio(encounter)
        for answer in (True, False):
            await self.say(lab, encounter, answer)
        clock.pass_by(timedelta(hours=4))
        await self.say(lab, encounter, True)
        with pytest.raises(ConsentRequiredError, match="being erased"):
            await self.ask(lab, encounter)
        assert await lab.erasure.run_policies(clock.now()) == 1
        assert lab.blob_files() == set()
        assert (await self.ask(lab, encounter)).consent.given is True

    async def test_without_grace_it_is_due_at_once(self, lab: EncountersLab) -> None:
        encounter = await self.encounter(lab, consent_grace=timedelta(0))
        await lab.add_audio(encounter)
        for answer in (True, False):
            await self.say(lab, encounter, answer)
        assert await lab.erasure.run_policies(lab.clock.now()) == 1
        assert lab.blob_files() == set()


async def test_of_an_erased_encounter_nothing_can_be_changed(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, name=MARKER, ehr_patient_id=MARKER)
    profile = await lab.profiles.create(DOCTOR, organization.id, user.id)
    await lab.erasure.erase(
        DOCTOR, organization.id, made.id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    tombstone = await lab.encounters.get(organization.id, made.id)
    assert tombstone.state is EncounterState.ERASED
    assert (tombstone.name, tombstone.patient, tombstone.ehr_patient_id) == (None, None, None)
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: lab.encounters.change(DOCTOR, organization.id, made.id, {"name": "again"}),
        lambda: lab.profiles.link(DOCTOR, organization.id, profile.id, made.id),
        lambda: TestConsent().ask(lab, made),
        lambda: TestConsent().say(lab, made, True),
    )
    for call in calls:
        with pytest.raises(ErasedError):
            await call()
    with pytest.raises(ErasedError):
        async with lab.database.write() as transaction:
            await lab.encounter_rows.save(transaction, replace(tombstone, name="again"))
    other = await lab.encounters.create(DOCTOR, organization.id, user.id)
    with pytest.raises(NotFoundError):
        await lab.encounters.change(DOCTOR, organization.id, other.id, {"linked_encounter_ids": [made.id]})
    assert (await lab.encounters.list(organization.id)).items == (other,)
    erased = EncounterFilter(states=frozenset({EncounterState.ERASED}))
    assert (await lab.encounters.list(organization.id, erased)).items == (tombstone,)


async def test_a_damaged_encounter_is_named_and_hides_none_of_the_others(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = [await lab.encounters.create(DOCTOR, organization.id, user.id) for _ in range(5)]
    async with lab.database.write() as transaction:
        damaged = update(encounters).where(encounters.c.id == made[2].id).values(sealed=b"\x01" + bytes(60))
        await transaction.connection.execute(damaged)
    page = await lab.encounters.list(organization.id, limit=3)
    assert [each.id for each in page.items] == [made[4].id, made[3].id] and page.damaged == (made[2].id,)
    rest = await lab.encounters.list(organization.id, limit=3, after=page.following)
    assert [each.id for each in rest.items] == [made[1].id, made[0].id] and rest.damaged == ()
    with pytest.raises(CorruptedError):
        await lab.encounters.get(organization.id, made[2].id)


async def test_what_a_transaction_changes_twice_stands_as_it_was_left(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id)
    made = await lab.encounters.change(DOCTOR, organization.id, made.id, {"name": "Follow-up", "duration": 61})
    rows = lab.encounter_rows
    async with lab.database.write() as transaction:
        standing = await rows.lock(transaction, organization.id, made.id)
        other = await rows.save(transaction, replace(standing, name="Another", duration=5, language_code="de"))
        await rows.save(transaction, replace(other, name=standing.name, duration=standing.duration))
    stands = await lab.encounters.get(organization.id, made.id)
    assert stands == replace(made, language_code="de", revision=made.revision + 2)


async def test_what_is_sealed_is_sealed_anew_only_when_it_changes(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, name="Follow-up")

    async def sealed() -> bytes:
        async with lab.database.read() as transaction:
            query = select(encounters.c.sealed).where(encounters.c.id == made.id)
            stored: bytes = (await transaction.connection.execute(query)).scalar_one()
            return stored

    before = await sealed()
    await lab.encounters.change(DOCTOR, organization.id, made.id, {"duration": 61, "language_code": "de"})
    assert await sealed() == before
    await lab.encounters.change(DOCTOR, organization.id, made.id, {"name": "Another", "duration": None})
    assert await sealed() != before
    stands = await lab.encounters.get(organization.id, made.id)
    assert (stands.name, stands.duration, stands.language_code) == ("Another", None, "de")
