"""Encounters: made, read, listed and changed; who may see them; and whether audio may be stored."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from osler.access.model import ConsentPolicy, Organization, Visibility
from osler.access.ports import OrganizationRepository, UserRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.fields import ENCOUNTER_FIELDS, merged_patient, read_fields
from osler.encounters.model import (
    Consent,
    Encounter,
    EncounterFilter,
    EncounterPatient,
    EncounterState,
    PatientProfile,
    Purpose,
)
from osler.encounters.ports import EncounterRepository, PatientProfileRepository
from osler.kernel.clock import Clock
from osler.kernel.errors import ConsentRequiredError, ErasedError, InvalidFieldError, NotFoundError
from osler.kernel.ids import new_encounter_id
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Database, Transaction

Finish = Callable[[Transaction, Encounter, Encounter], Awaitable[None]]
"""Takes part in a change: takes the transaction, the encounter as it stood and as it stands now."""

NO_ENCOUNTER: Final = "there is no such encounter"
NO_PROFILE: Final = "there is no such patient profile"
ERASED: Final = "This encounter was erased for good."


class EncounterService:
    """What may be done with encounters. ``user_id``, where it is given, is whose eyes the caller looks through."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        encounters: EncounterRepository,
        profiles: PatientProfileRepository,
        organizations: OrganizationRepository,
        users: UserRepository,
        audit: AuditTrail,
    ) -> None:
        self._database = database
        self._clock = clock
        self._encounters = encounters
        self._profiles = profiles
        self._organizations = organizations
        self._users = users
        self._audit = audit

    async def create(
        self,
        actor: Actor,
        organization_id: str,
        owner_id: str,
        *,
        patient_profile_id: str | None = None,
        ehr_appointment_id: str | None = None,
        purpose: Purpose = Purpose.CARE,
        **fields: Any,
    ) -> Encounter:
        """Make an encounter of the user ``owner_id``. ``fields`` are those of :meth:`change`.

        Its EHR is that of the patient profile; where that names none, that of the user's linked account.
        Raises NotFoundError (organization, user, patient profile, linked encounter), InvalidFieldError.
        """
        values = read_fields(
            ENCOUNTER_FIELDS,
            {
                **fields,
                "patient_profile_id": patient_profile_id,
                "ehr_appointment_id": ehr_appointment_id,
                "purpose": purpose,
            },
        )
        now = self._clock.now()
        encounter = Encounter(new_encounter_id(), organization_id, owner_id, now, now)
        async with self._database.write() as transaction:
            await self._organizations.get(transaction, organization_id)
            await self._users.get(transaction, organization_id, owner_id)
            profile = await self._profile(transaction, organization_id, values)
            encounter = await self._changed(transaction, encounter, values, profile, now, owner_id)
            if encounter.ehr_provider is None:
                account = await self._users.account(transaction, organization_id, owner_id)
                encounter = replace(encounter, ehr_provider=account.ehr_provider if account is not None else None)
            await self._encounters.add(transaction, encounter)
            await self._audit.append(transaction, [_event(actor, encounter, "encounter.created", now)])
        return encounter

    async def get(self, organization_id: str, encounter_id: str, *, user_id: str | None = None) -> Encounter:
        """Return the encounter; an erased one as its tombstone. Raises NotFoundError."""
        async with self._database.read() as transaction:
            encounter = await self._encounters.get(transaction, organization_id, encounter_id)
            await self._refuse_strangers(transaction, encounter, user_id)
        return encounter

    async def standing(self, organization_id: str, encounter_id: str, *, user_id: str | None = None) -> Encounter:
        """As :meth:`get`, of an encounter that still holds something. Raises NotFoundError, ErasedError."""
        encounter = await self.get(organization_id, encounter_id, user_id=user_id)
        _refuse_erased(encounter)
        return encounter

    async def change(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        changes: Mapping[str, Any],
        *,
        user_id: str | None = None,
        shown: bool = False,
        finish: Finish | None = None,
    ) -> Encounter:
        """Change the fields that are named, and no others; of ``patient``, only the parts that are named.

        ``shown`` says that the caller is going to show the actor what then stands, and leaves a trace of that too.
        ``finish`` is awaited last in the transaction.

        Fields: those of :data:`osler.encounters.fields.ENCOUNTER_FIELDS`. ``consent_given`` from True to False is a
        withdrawal of consent: audio and unsigned texts are erased after the organization's grace, unless True comes
        within it.

        Raises NotFoundError (also for a linked encounter or patient profile), InvalidFieldError, ErasedError.
        """
        values = read_fields(ENCOUNTER_FIELDS, changes)
        async with self._database.write() as transaction:
            profile = await self._profile(transaction, organization_id, values)
            standing = await self._encounters.lock(transaction, organization_id, encounter_id)
            await self._refuse_strangers(transaction, standing, user_id)
            _refuse_erased(standing)
            now = self._clock.now()
            changed = await self._changed(transaction, standing, values, profile, now, user_id)
            events = []
            if changed != standing:
                changed = await self._encounters.save(transaction, replace(changed, updated_at=now))
                events.append(_event(actor, changed, "encounter.changed", now, fields=",".join(sorted(values))))
                if changed.consent != standing.consent:
                    events.append(_consent_event(actor, changed, now))
            if shown:
                events.append(_event(actor, changed, "encounter.read", now))
            if events:
                await self._audit.append(transaction, events)
            if finish is not None:
                await finish(transaction, standing, changed)
        return changed

    async def list(
        self,
        organization_id: str,
        wanted: EncounterFilter | None = None,
        *,
        user_id: str | None = None,
        limit: int = 50,
        after: Position | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Encounter]:
        """Return one page by time of creation, then id: after ``after``, or from ``offset``."""
        async with self._database.read() as transaction:
            seen = await self._seen(transaction, organization_id, wanted or EncounterFilter(), user_id)
            if seen is None:
                return Page(())
            return await self._encounters.list(
                transaction,
                organization_id,
                seen,
                limit=limit,
                after=after,
                offset=offset,
                newest_first=newest_first,
            )

    async def count(
        self, organization_id: str, wanted: EncounterFilter | None = None, *, user_id: str | None = None
    ) -> int:
        """Return how many encounters :meth:`list` has on all its pages."""
        async with self._database.read() as transaction:
            seen = await self._seen(transaction, organization_id, wanted or EncounterFilter(), user_id)
            return 0 if seen is None else await self._encounters.count(transaction, organization_id, seen)

    async def content_allowed(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """Lock the encounter and return it if something may be added to it: call this before texts are stored.

        Raises NotFoundError, ErasedError.
        """
        encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
        _refuse_erased(encounter)
        return encounter

    async def audio_allowed(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """Lock the encounter and return it if audio may be stored now: call this before any audio is stored.

        Raises NotFoundError, ErasedError and, without the consent that is needed, ConsentRequiredError.
        """
        encounter = await self.content_allowed(transaction, organization_id, encounter_id)
        if encounter.consent.withdrawn:
            raise ConsentRequiredError(
                "the patient withdrew consent to being recorded: no audio is stored until consent is given again"
            )
        if encounter.consent.erase_at is not None:
            raise ConsentRequiredError(
                "audio from before consent was withdrawn is being erased: send this again in a few minutes"
            )
        organization = await self._organizations.get(transaction, organization_id)
        if organization.consent is ConsentPolicy.REQUIRED and encounter.consent.given is not True:
            raise ConsentRequiredError(
                "this organization requires the patient's consent: set it on the encounter, then send the audio again"
            )
        return encounter

    async def _refuse_strangers(self, transaction: Transaction, encounter: Encounter, user_id: str | None) -> None:
        if user_id is None or user_id == encounter.owner_id:
            return
        organization = await self._organizations.get(transaction, encounter.organization_id)
        if organization.visibility is not Visibility.TENANT:
            raise NotFoundError(NO_ENCOUNTER)

    async def _seen(
        self, transaction: Transaction, organization_id: str, wanted: EncounterFilter, user_id: str | None
    ) -> EncounterFilter | None:
        """Narrow ``wanted`` to what the user may see; None: nothing."""
        if user_id is None or wanted.owner_id == user_id:
            return wanted
        organization = await self._organizations.get(transaction, organization_id)
        if organization.visibility is Visibility.TENANT:
            return wanted
        return None if wanted.owner_id is not None else replace(wanted, owner_id=user_id)

    async def _profile(
        self, transaction: Transaction, organization_id: str, values: Mapping[str, Any]
    ) -> PatientProfile | None:
        """Return the profile to be linked, held before the encounter is: a deletion takes them in that order."""
        profile_id = values.get("patient_profile_id")
        if profile_id is None:
            return None
        try:
            return await self._profiles.lock(transaction, organization_id, profile_id)
        except NotFoundError:
            raise NotFoundError(NO_PROFILE, field="patient_profile_id") from None

    async def _refuse_link(
        self, transaction: Transaction, organization_id: str, encounter_id: str, user_id: str | None
    ) -> None:
        """Raise NotFoundError for an encounter that cannot be linked, whether there is none or it may not be seen."""
        try:
            other = await self._encounters.get(transaction, organization_id, encounter_id)
            await self._refuse_strangers(transaction, other, user_id)
        except NotFoundError:
            raise NotFoundError(NO_ENCOUNTER, field="linked_encounter_ids") from None
        if other.state is EncounterState.ERASED:
            raise NotFoundError(NO_ENCOUNTER, field="linked_encounter_ids")

    async def _changed(
        self,
        transaction: Transaction,
        standing: Encounter,
        values: Mapping[str, Any],
        profile: PatientProfile | None,
        now: datetime,
        user_id: str | None,
    ) -> Encounter:
        """Return the encounter with ``values``; linked encounters among them are looked up."""
        values = dict(values)
        if profile is not None:
            standing = without_former_patient(standing, profile)
        consent_given = values.pop("consent_given", None)
        if consent_given is not None:
            organization = await self._organizations.get(transaction, standing.organization_id)
            values["consent"] = _answered(standing.consent, consent_given, organization, now)
        if "patient" in values:
            values["patient"] = merged_patient(standing.patient, values["patient"])
        if "linked_encounter_ids" in values:
            linked = tuple(dict.fromkeys(values["linked_encounter_ids"]))
            values["linked_encounter_ids"] = linked
            for each in linked:
                if each == standing.id:
                    raise InvalidFieldError(
                        "linked_encounter_ids", "linked_encounter_ids: an encounter cannot be linked to itself"
                    )
                if each not in standing.linked_encounter_ids:
                    await self._refuse_link(transaction, standing.organization_id, each, user_id)
        changed = replace(standing, **values)
        if profile is None or profile.id == standing.patient_profile_id:
            return changed
        if user_id not in (None, profile.owner_id):
            organization = await self._organizations.get(transaction, standing.organization_id)
            if organization.visibility is not Visibility.TENANT:
                raise NotFoundError(NO_PROFILE, field="patient_profile_id")
        return with_patient_of(changed, profile)


def without_former_patient(encounter: Encounter, profile: PatientProfile) -> Encounter:
    """Forget the patient of another profile that the encounter was linked to: two patients are never mixed in one.

    All of him, whether it came from that profile or was said while it was linked, also if it was deleted since.
    """
    if (encounter.patient_profile_id or encounter.patient_from) in (None, profile.id):
        return encounter
    return replace(encounter, patient=None, ehr_patient_id=None, ehr_provider=None)


def with_patient_of(encounter: Encounter, profile: PatientProfile) -> Encounter:
    """Link the profile, and copy of it what the encounter was not told itself; the copy outlives the profile."""
    standing = encounter.patient or EncounterPatient()
    patient = EncounterPatient(
        name=standing.name or " ".join(filter(None, (profile.first_name, profile.last_name))),
        gender=standing.gender or profile.gender,
        birth_date=standing.birth_date or profile.birth_date,
        demographic_details=standing.demographic_details or profile.demographic_string,
    )
    # A patient's id means something in his own EHR only: the two go together.
    same = encounter.ehr_patient_id in (None, profile.ehr_patient_id)
    ehrs = (profile.provider, encounter.ehr_provider) if same else (encounter.ehr_provider, profile.provider)
    return replace(
        encounter,
        patient_profile_id=profile.id,
        patient_from=profile.id,
        ehr_provider=ehrs[0] or ehrs[1],
        patient=encounter.patient if patient == EncounterPatient() else patient,
        ehr_patient_id=encounter.ehr_patient_id or profile.ehr_patient_id,
    )


def _answered(consent: Consent, given: bool, organization: Organization, now: datetime) -> Consent:
    """Return the consent after the client said ``given``."""
    if given is consent.given:
        return consent
    if given:
        # Past the grace nothing is taken back: what was recorded before goes, and then audio is accepted again.
        lost = consent.erase_at if consent.erase_at is not None and consent.erase_at <= now else None
        return Consent(given=True, changed_at=now, erase_at=lost)
    if consent.given is None:
        return replace(consent, given=False)
    erase_at = now + organization.consent_grace
    return Consent(given=False, changed_at=now, erase_at=min(consent.erase_at or erase_at, erase_at))


def _refuse_erased(encounter: Encounter) -> None:
    if encounter.state is EncounterState.ERASED:
        raise ErasedError(ERASED)


def _event(actor: Actor, encounter: Encounter, action: str, at: datetime, **detail: str) -> AuditEvent:
    return AuditEvent(encounter.organization_id, actor, action, at, subject={"encounter": encounter.id}, detail=detail)


def _consent_event(actor: Actor, encounter: Encounter, at: datetime) -> AuditEvent:
    consent = encounter.consent
    if consent.withdrawn and consent.erase_at is not None:
        return _event(actor, encounter, "consent.withdrawn", at, erase_at=consent.erase_at.isoformat())
    return _event(actor, encounter, "consent.given" if consent.given else "consent.denied", at)
