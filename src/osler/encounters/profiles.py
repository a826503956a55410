"""Patient profiles: made, read, listed, changed, deleted, and linked to encounters."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from osler.access.model import Visibility
from osler.access.ports import OrganizationRepository, UserRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.erasure import ErasureService
from osler.encounters.fields import PROFILE_FIELDS, read_fields
from osler.encounters.model import Encounter, EncounterState, ErasureScope, PatientProfile
from osler.encounters.ports import EncounterRepository, PatientProfileRepository
from osler.encounters.service import ERASED, NO_ENCOUNTER, NO_PROFILE, with_patient_of, without_former_patient
from osler.kernel.clock import Clock
from osler.kernel.errors import ErasedError, NotFoundError
from osler.kernel.ids import new_id
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Database, Transaction


class PatientProfileService:
    """What may be done with patient profiles. ``user_id``, where given, is whose eyes the caller looks through."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        profiles: PatientProfileRepository,
        encounters: EncounterRepository,
        organizations: OrganizationRepository,
        users: UserRepository,
        erasure: ErasureService,
        audit: AuditTrail,
    ) -> None:
        self._database = database
        self._clock = clock
        self._profiles = profiles
        self._encounters = encounters
        self._organizations = organizations
        self._users = users
        self._erasure = erasure
        self._audit = audit

    async def create(self, actor: Actor, organization_id: str, owner_id: str, **fields: Any) -> PatientProfile:
        """Make a profile of the user ``owner_id``; ``fields``: see :data:`osler.encounters.fields.PROFILE_FIELDS`.

        Raises NotFoundError (organization, user), InvalidFieldError.
        """
        values = read_fields(PROFILE_FIELDS, fields)
        now = self._clock.now()
        profile = PatientProfile(new_id(), organization_id, owner_id, now, now, **values)
        async with self._database.write() as transaction:
            await self._organizations.get(transaction, organization_id)
            await self._users.get(transaction, organization_id, owner_id)
            await self._profiles.add(transaction, profile)
            await self._audit.append(transaction, [self._event(actor, profile, "patient_profile.created")])
        return profile

    async def get(self, organization_id: str, profile_id: str, *, user_id: str | None = None) -> PatientProfile:
        """Raises NotFoundError."""
        async with self._database.read() as transaction:
            profile = await self._profiles.get(transaction, organization_id, profile_id)
            await self._refuse_strangers(transaction, profile, user_id)
        return profile

    async def change(
        self,
        actor: Actor,
        organization_id: str,
        profile_id: str,
        changes: Mapping[str, Any],
        *,
        user_id: str | None = None,
    ) -> PatientProfile:
        """Change the fields that are named, and no others. Raises NotFoundError, InvalidFieldError."""
        values = read_fields(PROFILE_FIELDS, changes)
        async with self._database.write() as transaction:
            standing = await self._profiles.lock(transaction, organization_id, profile_id)
            await self._refuse_strangers(transaction, standing, user_id)
            changed = replace(standing, **values)
            if changed == standing:
                return standing
            changed = replace(changed, updated_at=self._clock.now())
            await self._profiles.save(transaction, changed)
            event = self._event(actor, changed, "patient_profile.changed", fields=",".join(sorted(values)))
            await self._audit.append(transaction, [event])
        return changed

    async def list(
        self,
        organization_id: str,
        *,
        user_id: str | None = None,
        ehr_patient_id: str | None = None,
        provider: str | None = None,
        limit: int = 50,
        after: Position | None = None,
        offset: int = 0,
        newest_first: bool = False,
    ) -> Page[PatientProfile]:
        """Return one page by time of creation, then id; the filters are exact, without regard to case."""
        async with self._database.read() as transaction:
            return await self._profiles.list(
                transaction,
                organization_id,
                owner_id=await self._owner_seen(transaction, organization_id, user_id),
                ehr_patient_id=ehr_patient_id,
                provider=provider,
                limit=limit,
                after=after,
                offset=offset,
                newest_first=newest_first,
            )

    async def count(
        self,
        organization_id: str,
        *,
        user_id: str | None = None,
        ehr_patient_id: str | None = None,
        provider: str | None = None,
    ) -> int:
        """Return how many profiles :meth:`list` has on all its pages."""
        async with self._database.read() as transaction:
            return await self._profiles.count(
                transaction,
                organization_id,
                owner_id=await self._owner_seen(transaction, organization_id, user_id),
                ehr_patient_id=ehr_patient_id,
                provider=provider,
            )

    async def delete_many(
        self, actor: Actor, organization_id: str, profile_ids: Sequence[str], *, user_id: str | None = None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Delete profiles for good; returns the ids that were deleted and those that were not found.

        Encounters of a deleted profile keep their own data and lose the link. All are deleted, or on an error before
        the first is written into the erasure ledger none; those that stand there go at the latest at the next start.
        Raises BlobsUnavailableError, StorageFullError (the ledger could not be written), DatabaseUnavailableError.
        """
        found: dict[str, PatientProfile] = {}
        # In one order, so that two deletions of the same profiles cannot wait for each other.
        wanted = sorted(set(profile_ids))
        async with self._database.read() as transaction:
            for profile_id in wanted:
                try:
                    profile = await self._profiles.get(transaction, organization_id, profile_id)
                    await self._refuse_strangers(transaction, profile, user_id)
                except NotFoundError:
                    continue
                found[profile_id] = profile
        deleted: list[str] = []
        if found:
            announced = await self._erasure.announce(organization_id, ErasureScope.PATIENT_PROFILE, found)
            async with self._database.write() as transaction:
                held = set()
                for erasure in announced:
                    with suppress(NotFoundError):  # another request was faster
                        # All of them before any of their encounters, as whoever links those holds them.
                        await self._profiles.lock(transaction, organization_id, erasure.subject_id)
                        held.add(erasure.subject_id)
                events = []
                for erasure in announced:
                    unlinked = 0
                    if erasure.subject_id in held:
                        unlinked = await self._encounters.unlink_profile(
                            transaction, organization_id, erasure.subject_id
                        )
                    if not await self._erasure.carry_out(transaction, erasure):
                        continue
                    profile = found[erasure.subject_id]
                    events.append(self._event(actor, profile, "patient_profile.deleted", unlinked=str(unlinked)))
                    deleted.append(profile.id)
                if events:  # once nothing more is to be held
                    await self._audit.append(transaction, events)
            await self._erasure.finish()
        missing = [profile_id for profile_id in wanted if profile_id not in deleted]
        order = {profile_id: place for place, profile_id in enumerate(profile_ids)}
        return tuple(sorted(deleted, key=order.__getitem__)), tuple(sorted(missing, key=order.__getitem__))

    async def link(
        self,
        actor: Actor,
        organization_id: str,
        profile_id: str,
        encounter_id: str,
        *,
        user_id: str | None = None,
    ) -> Encounter:
        """Link an encounter to the profile, and copy to it what it was not told itself of the patient.

        Raises NotFoundError (profile, encounter), ErasedError.
        """
        async with self._database.write() as transaction:
            # Held, so that it is not deleted at the same moment, which would leave a link to nothing.
            profile = await self._profiles.lock(transaction, organization_id, profile_id)
            await self._refuse_strangers(transaction, profile, user_id)
            standing = await self._encounter(transaction, organization_id, encounter_id, user_id)
            if standing.state is EncounterState.ERASED:
                raise ErasedError(ERASED)
            linked = with_patient_of(without_former_patient(standing, profile), profile)
            if linked == standing:
                return standing
            now = self._clock.now()
            saved = await self._encounters.save(transaction, replace(linked, updated_at=now))
            await self._audit.append(
                transaction,
                [
                    AuditEvent(
                        organization_id,
                        actor,
                        "patient_profile.linked",
                        now,
                        subject={"encounter": encounter_id, "patient_profile": profile_id},
                    )
                ],
            )
        return saved

    async def _encounter(
        self, transaction: Transaction, organization_id: str, encounter_id: str, user_id: str | None
    ) -> Encounter:
        """Return the encounter to be linked, held. Raises NotFoundError that names it as what is missing."""
        try:
            standing = await self._encounters.lock(transaction, organization_id, encounter_id)
        except NotFoundError:
            raise NotFoundError(NO_ENCOUNTER, field="encounter_id") from None
        if user_id not in (None, standing.owner_id):
            organization = await self._organizations.get(transaction, organization_id)
            if organization.visibility is not Visibility.TENANT:
                raise NotFoundError(NO_ENCOUNTER, field="encounter_id")
        return standing

    async def _refuse_strangers(self, transaction: Transaction, profile: PatientProfile, user_id: str | None) -> None:
        if user_id is None or user_id == profile.owner_id:
            return
        organization = await self._organizations.get(transaction, profile.organization_id)
        if organization.visibility is not Visibility.TENANT:
            raise NotFoundError(NO_PROFILE)

    async def _owner_seen(self, transaction: Transaction, organization_id: str, user_id: str | None) -> str | None:
        """Return whose profiles the user sees: his own, or None for all of the organization's."""
        if user_id is None:
            return None
        organization = await self._organizations.get(transaction, organization_id)
        return None if organization.visibility is Visibility.TENANT else user_id

    def _event(self, actor: Actor, profile: PatientProfile, action: str, **detail: str) -> AuditEvent:
        return AuditEvent(
            profile.organization_id,
            actor,
            action,
            self._clock.now(),
            subject={"patient_profile": profile.id},
            detail=detail,
        )
