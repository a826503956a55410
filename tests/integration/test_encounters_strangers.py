"""Another organization's and another user's encounters and profiles are, for everybody else, not there."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from osler.access.model import Organization, User, Visibility
from osler.encounters.model import Encounter, EncounterFilter, Erasure, ErasureReason, ErasureScope, PatientProfile
from osler.kernel.errors import NotFoundError
from osler.kernel.ids import new_encounter_id, new_id
from osler.storage.database import SqlDatabase
from tests.encounters_lab import DOCTOR, MARKER, EncountersLab

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


Call = Callable[[EncountersLab, str, str | None, str, str], Coroutine[Any, Any, Any]]
"""Of a lab, an organization, a user or None, an encounter and a profile."""

ENCOUNTER_CALLS: dict[str, Call] = {
    "get": lambda lab, org, user, encounter, profile: lab.encounters.get(org, encounter, user_id=user),
    "change": lambda lab, org, user, encounter, profile: lab.encounters.change(
        DOCTOR, org, encounter, {"name": "mine"}, user_id=user
    ),
    "link as former visit": lambda lab, org, user, encounter, profile: _linked(lab, org, user, encounter),
}
PROFILE_CALLS: dict[str, Call] = {
    "get": lambda lab, org, user, encounter, profile: lab.profiles.get(org, profile, user_id=user),
    "change": lambda lab, org, user, encounter, profile: lab.profiles.change(
        DOCTOR, org, profile, {"first_name": "mine"}, user_id=user
    ),
    "use for an encounter": lambda lab, org, user, encounter, profile: _with_profile(lab, org, user, profile),
}


async def _own(lab: EncountersLab, organization_id: str, user_id: str | None) -> Encounter:
    """Make an encounter of the stranger's own."""
    if user_id is None:
        async with lab.database.read() as transaction:
            organization = await lab.organizations.get(transaction, organization_id)
        user_id = (await lab.user(organization)).id
    return await lab.encounters.create(DOCTOR, organization_id, user_id)


async def _linked(lab: EncountersLab, organization_id: str, user_id: str | None, encounter_id: str) -> Encounter:
    own = await _own(lab, organization_id, user_id)
    return await lab.encounters.change(
        DOCTOR, organization_id, own.id, {"linked_encounter_ids": [encounter_id]}, user_id=user_id
    )


async def _with_profile(lab: EncountersLab, organization_id: str, user_id: str | None, profile_id: str) -> Encounter:
    own = await _own(lab, organization_id, user_id)
    return await lab.encounters.change(
        DOCTOR, organization_id, own.id, {"patient_profile_id": profile_id}, user_id=user_id
    )


class TestStrangers:
    """Another organization, and within one another user, gets the answer that he gets for an id that is none."""

    async def standing(self, lab: EncountersLab) -> tuple[Organization, User, Encounter, PatientProfile]:
        organization = await lab.organization()
        owner = await lab.user(organization)
        profile = await lab.profiles.create(DOCTOR, organization.id, owner.id, first_name=MARKER)
        encounter = await lab.encounters.create(DOCTOR, organization.id, owner.id, name=MARKER)
        return organization, owner, encounter, profile

    @pytest.mark.parametrize("call", [*ENCOUNTER_CALLS.values(), *PROFILE_CALLS.values()])
    @pytest.mark.parametrize("stranger", ["organization", "user"])
    async def test_it_is_not_there_for_him(self, lab: EncountersLab, call: Call, stranger: str) -> None:
        organization, owner, encounter, profile = await self.standing(lab)
        user_id: str | None = None
        organization_id = organization.id
        if stranger == "organization":
            organization_id = (await lab.organization()).id
        else:
            user_id = (await lab.user(organization)).id
        await call(lab, organization.id, owner.id, encounter.id, profile.id)
        before = await lab.encounters.get(organization.id, encounter.id)
        with pytest.raises(NotFoundError) as hidden:
            await call(lab, organization_id, user_id, encounter.id, profile.id)
        with pytest.raises(NotFoundError) as missing:
            await call(lab, organization_id, user_id, new_encounter_id(), new_id())
        assert str(hidden.value) == str(missing.value)
        assert await lab.encounters.get(organization.id, encounter.id) == before

    async def test_he_neither_lists_nor_counts_nor_deletes_it(self, lab: EncountersLab) -> None:
        organization, owner, encounter, profile = await self.standing(lab)
        other = await lab.user(organization)
        elsewhere = await lab.organization()
        for organization_id, user_id in ((organization.id, other.id), (elsewhere.id, None), (elsewhere.id, owner.id)):
            assert (await lab.encounters.list(organization_id, user_id=user_id)).items == ()
            asked = EncounterFilter(owner_id=owner.id)
            assert (await lab.encounters.list(organization_id, asked, user_id=user_id)).items == ()
            assert await lab.encounters.count(organization_id, user_id=user_id) == 0
            assert await lab.encounters.count(organization_id, asked, user_id=user_id) == 0
            assert (await lab.profiles.list(organization_id, user_id=user_id)).items == ()
            assert await lab.profiles.count(organization_id, user_id=user_id) == 0
            gone = await lab.profiles.delete_many(DOCTOR, organization_id, [profile.id, "none"], user_id=user_id)
            assert gone == ((), (profile.id, "none"))
        assert await lab.profiles.get(organization.id, profile.id) == profile
        assert (await lab.encounters.list(organization.id, user_id=owner.id)).items == (encounter,)

    async def test_he_cannot_link_a_profile_and_an_encounter_that_are_not_both_his(self, lab: EncountersLab) -> None:
        organization, owner, encounter, profile = await self.standing(lab)
        other = await lab.user(organization)
        own_profile = await lab.profiles.create(DOCTOR, organization.id, other.id)
        own = await lab.encounters.create(DOCTOR, organization.id, other.id)
        for profile_id, encounter_id in ((profile.id, own.id), (own_profile.id, encounter.id)):
            with pytest.raises(NotFoundError):
                await lab.profiles.link(DOCTOR, organization.id, profile_id, encounter_id, user_id=other.id)
        elsewhere = await lab.organization()
        with pytest.raises(NotFoundError):
            await lab.profiles.link(DOCTOR, elsewhere.id, profile.id, encounter.id)
        linked = await lab.profiles.link(DOCTOR, organization.id, profile.id, encounter.id, user_id=owner.id)
        assert linked.patient_profile_id == profile.id

    async def test_he_can_make_nothing_for_a_user_or_in_an_organization_that_is_not_his(
        self, lab: EncountersLab
    ) -> None:
        organization, owner, _, profile = await self.standing(lab)
        elsewhere = await lab.organization()
        for organization_id, owner_id in ((elsewhere.id, owner.id), (organization.id, new_id()), (new_id(), owner.id)):
            with pytest.raises(NotFoundError):
                await lab.encounters.create(DOCTOR, organization_id, owner_id)
            with pytest.raises(NotFoundError):
                await lab.profiles.create(DOCTOR, organization_id, owner_id)
        foreign = await lab.user(elsewhere)
        with pytest.raises(NotFoundError):
            await lab.encounters.create(DOCTOR, elsewhere.id, foreign.id, patient_profile_id=profile.id)

    async def test_he_sees_it_where_the_organization_shows_it_to_all_its_users(self, lab: EncountersLab) -> None:
        organization, _, encounter, profile = await self.standing(lab)
        other = await lab.user(organization)
        await lab.set_policies(organization, visibility=Visibility.TENANT)
        for call in (*ENCOUNTER_CALLS.values(), *PROFILE_CALLS.values()):
            await call(lab, organization.id, other.id, encounter.id, profile.id)
        assert encounter.id in {
            each.id for each in (await lab.encounters.list(organization.id, user_id=other.id)).items
        }
        assert await lab.profiles.count(organization.id, user_id=other.id) == 1

    async def test_no_repository_and_no_erasure_answers_another_organization(self, lab: EncountersLab) -> None:
        organization = await lab.organization()
        full = await lab.full(organization, await lab.user(organization))
        profile = await lab.profiles.create(DOCTOR, organization.id, full.encounter.owner_id)
        elsewhere = (await lab.organization()).id
        encounter_id = full.encounter.id
        async with lab.database.write() as transaction:
            for call in (
                lambda: lab.encounter_rows.get(transaction, elsewhere, encounter_id),
                lambda: lab.encounter_rows.lock(transaction, elsewhere, encounter_id),
                lambda: lab.profile_rows.get(transaction, elsewhere, profile.id),
                lambda: lab.profile_rows.lock(transaction, elsewhere, profile.id),
                lambda: lab.profile_rows.save(transaction, replace(profile, organization_id=elsewhere)),
                lambda: lab.context_rows.get(transaction, elsewhere, encounter_id, full.context.id),
                lambda: lab.context_rows.lock(transaction, elsewhere, encounter_id, full.context.id),
                lambda: lab.context_rows.get(transaction, organization.id, new_encounter_id(), full.context.id),
                lambda: lab.context_rows.save(transaction, replace(full.context, organization_id=elsewhere)),
                lambda: lab.encounters.audio_allowed(transaction, elsewhere, encounter_id),
                lambda: lab.encounters.content_allowed(transaction, elsewhere, encounter_id),
                lambda: lab.eraser.lock(transaction, elsewhere, encounter_id),
            ):
                with pytest.raises(NotFoundError):
                    await call()
            foreign = Erasure(
                new_id(), elsewhere, profile.id, ErasureScope.PATIENT_PROFILE, ErasureReason.DELETED, lab.clock.now()
            )
            assert not await lab.eraser.destroy(transaction, foreign)
            assert await lab.context_rows.list(transaction, elsewhere, encounter_id) == []
            assert await lab.context_rows.delete(transaction, elsewhere, encounter_id, [full.context.id]) == []
            assert await lab.encounter_rows.unlink_profile(transaction, elsewhere, profile.id) == 0
        with pytest.raises(NotFoundError):
            await lab.erasure.erase(
                DOCTOR, elsewhere, encounter_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
            )
        assert (await lab.encounters.get(organization.id, encounter_id)).name == MARKER
        async with lab.database.read() as transaction:
            assert await lab.context_rows.get(transaction, organization.id, encounter_id, full.context.id)
