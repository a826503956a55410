"""Patient profiles: made, read, changed, deleted, linked to sessions; the birth date under both its names."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from starlette.responses import JSONResponse

from osler.api.scribe import presenters
from osler.api.scribe.auth import CurrentUser, ScribeUser
from osler.api.scribe.errors import SESSION_NOT_FOUND, ScribeError, documented
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SESSION_ID, Day, ProfileId, is_id, named_as
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.session_fields import MISSING, Id, Line, Text
from osler.api.scribe.session_models import DAY
from osler.api.scribe.values import OURS, Answered, Given, Time
from osler.encounters.fields import MAX_ITEMS
from osler.encounters.model import PatientProfile

MOST_DELETED: Final = 1_000
"""Profiles deleted by one request."""

PAGE: Final = 200
"""Profiles read at once; a list has no pages in the contract, so all of them go out."""

SPELLING: Final[Mapping[str, str]] = {"birth_date": "date_of_birth", "encounter_id": "session_id"}


def _upper(value: Any) -> Any:
    """An unknown gender is shown to readers of the YAML as an empty text, and may be sent back so."""
    return (value.upper() or None) if isinstance(value, str) else value


Gender = Annotated[Literal["MALE", "FEMALE", "OTHER"] | None, BeforeValidator(_upper)]


class PatientProfileCreate(Given):
    """A patient."""

    first_name: Line | None = None
    last_name: Line | None = None
    birth_date: Day | None = Field(default=None, description="The same as `date_of_birth`.")
    date_of_birth: Day | None = None
    gender: Gender = None
    ehr_patient_id: Line | None = None
    provider: Line | None = Field(default=None, description="The EHR that `ehr_patient_id` is of.")
    phone: Line | None = None
    email: Line | None = None
    patient_sex_code: Line | None = None
    identifiers: Annotated[list[dict[str, Any]], Field(max_length=MAX_ITEMS)] | None = Field(
        default=None, description="Other ids of the patient: objects of texts, numbers, true, false and null."
    )
    demographic_string: Text | None = None
    additional_context: Text | None = None

    @field_validator("date_of_birth")
    @classmethod
    def _one_birth_date(cls, value: str | None, info: ValidationInfo) -> str | None:
        other = info.data.get("birth_date")
        if value is not None and other is not None and value != other:
            raise PydanticCustomError("contradiction", "says something else than birth_date")
        return value

    def fields(self) -> dict[str, Any]:
        """Return what was sent, by the core's names of fields."""
        sent = {field: getattr(self, field) for field in self.model_fields_set if field != "date_of_birth"}
        if "date_of_birth" in self.model_fields_set:
            sent["birth_date"] = self.date_of_birth or self.birth_date
        if "identifiers" in sent:
            sent["identifiers"] = sent["identifiers"] or []
        return sent


class PatientProfileUpdate(PatientProfileCreate):
    """Changes of a patient: only what is sent changes, null empties a field."""


class BatchDelete(Given):
    """The profiles to delete."""

    patient_profile_ids: Annotated[list[Id], Field(max_length=MOST_DELETED)]


class SessionLink(Given):
    """The session to link."""

    session_id: Id


class ToldProfile(Answered):
    """A patient profile; what is not known is null."""

    id: str
    first_name: str | None
    last_name: str | None
    date_of_birth: str | None = Field(json_schema_extra=DAY)
    birth_date: str | None = Field(json_schema_extra=DAY)
    gender: str | None
    ehr_patient_id: str | None
    provider: str | None
    phone: str | None
    email: str | None
    patient_sex_code: str | None
    identifiers: list[dict[str, Any]]
    demographic_string: str | None
    additional_context: str | None
    created_at: Time
    updated_at: Time


class PatientProfileShown(Answered):
    """A patient profile; texts that are not known are empty, and an unknown `date_of_birth` is left out."""

    id: str
    first_name: str
    last_name: str
    date_of_birth: str = Field(default="", json_schema_extra=DAY, description="Left out while it is not known.")
    birth_date: str | None = Field(json_schema_extra=DAY)
    gender: str
    ehr_patient_id: str
    provider: str
    phone: str | None
    email: str | None
    patient_sex_code: str | None
    identifiers: list[dict[str, Any]]
    demographic_string: str | None
    additional_context: str | None
    created_at: Time
    updated_at: Time


class PatientProfileAnswer(PatientProfileShown):
    """A patient profile, at the top level and under `data`."""

    data: ToldProfile


class PatientProfileList(Answered):
    """Patient profiles."""

    data: list[PatientProfileShown]
    damaged_profiles: list[str] = Field(
        default_factory=list,
        description="Profiles that are damaged and cannot be shown; left out where there are none.",
        json_schema_extra=OURS,
    )


class Deletion(Answered):
    """What became of a deletion."""

    deleted: list[str]
    not_found: list[str]


class DeletionAnswer(Deletion):
    """What became of a deletion, at the top level and under `data`."""

    data: Deletion


class LinkAnswer(Answered):
    """A session was linked."""

    is_success: bool
    session_id: str
    patient_profile_id: str


def profile_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of patient profiles to a router."""
    profiles = services.profiles

    # Before the routes with an id, which would take this path for one.
    @router.post(
        "/patient-profiles:batch-delete",
        operation_id="batchDeletePatientProfiles",
        summary="Delete patient profiles",
        responses=documented(),
    )
    async def batch_delete_patient_profiles(who: CurrentUser, body: BatchDelete) -> DeletionAnswer:
        """Delete profiles for good and say which were not found. Their sessions keep what they know, unlinked."""
        wanted = list(dict.fromkeys(body.patient_profile_ids))
        deleted, _ = await profiles.delete_many(
            who.actor, who.organization_id, [each for each in wanted if is_id(each)], user_id=who.user_id
        )
        gone = set(deleted)
        told = Deletion(deleted=list(deleted), not_found=[each for each in wanted if each not in gone])
        return DeletionAnswer(deleted=told.deleted, not_found=told.not_found, data=told)

    @router.post(
        "/patient-profiles",
        operation_id="createPatientProfile",
        summary="Make a patient profile",
        responses={**documented(), 200: {"model": PatientProfileAnswer, "description": "The profile."}},
    )
    async def create_patient_profile(who: CurrentUser, body: PatientProfileCreate) -> JSONResponse:
        """Make a patient profile of the user."""
        with named_as(SPELLING):
            made = await profiles.create(who.actor, who.organization_id, who.user_id, **body.fields())
        return JSONResponse(presenters.profile_answer(made))

    @router.get(
        "/patient-profiles",
        operation_id="listPatientProfiles",
        summary="List patient profiles",
        responses={**documented(), 200: {"model": PatientProfileList, "description": "The profiles."}},
    )
    async def list_patient_profiles(
        who: CurrentUser,
        ehr_patient_id: Annotated[str | None, Query(description="Only of this id.")] = None,
        provider: Annotated[str | None, Query(description="Only of this EHR.")] = None,
    ) -> JSONResponse:
        """Return the user's profiles, oldest first; filters are exact, without regard to case."""
        found, damaged = await _all(services, who, ehr_patient_id or None, provider or None)
        await trace_reading(
            services, who, "patient_profile.read", "patient_profile", [each.id for each in found], by="list"
        )
        told: dict[str, Any] = {"data": [presenters.yaml_profile(presenters.profile(each)) for each in found]}
        return JSONResponse({**told, "damaged_profiles": damaged} if damaged else told)

    @router.get(
        "/patient-profiles/{patient_profile_id}",
        operation_id="getPatientProfile",
        summary="Read a patient profile",
        responses={**documented(404), 200: {"model": PatientProfileAnswer, "description": "The profile."}},
    )
    async def get_patient_profile(who: CurrentUser, profile_id: ProfileId) -> JSONResponse:
        """Return a profile."""
        found = await profiles.get(who.organization_id, profile_id, user_id=who.user_id)
        await trace_reading(services, who, "patient_profile.read", "patient_profile", [found.id])
        return JSONResponse(presenters.profile_answer(found))

    @router.patch(
        "/patient-profiles/{patient_profile_id}",
        operation_id="updatePatientProfile",
        summary="Change a patient profile",
        responses={**documented(404), 200: {"model": PatientProfileAnswer, "description": "As it stands now."}},
    )
    async def update_patient_profile(
        who: CurrentUser, profile_id: ProfileId, body: PatientProfileUpdate
    ) -> JSONResponse:
        """Change what is sent and nothing else; null empties a field. Sessions keep what they took over before."""
        with named_as(SPELLING):
            changed = await profiles.change(
                who.actor, who.organization_id, profile_id, body.fields(), user_id=who.user_id
            )
        await trace_reading(services, who, "patient_profile.read", "patient_profile", [changed.id])
        return JSONResponse(presenters.profile_answer(changed))

    @router.post(
        "/patient-profiles/{patient_profile_id}/sessions",
        operation_id="linkSessionToPatientProfile",
        summary="Link a session to a patient profile",
        responses=documented(404, 410),
    )
    async def link_session(who: CurrentUser, profile_id: ProfileId, body: SessionLink) -> LinkAnswer:
        """Link a session, which takes over what the profile knows of the patient and it does not."""
        if not SESSION_ID.fullmatch(body.session_id):
            raise ScribeError(SESSION_NOT_FOUND, field="session_id")
        with named_as(SPELLING, MISSING):
            await profiles.link(who.actor, who.organization_id, profile_id, body.session_id, user_id=who.user_id)
        return LinkAnswer(is_success=True, session_id=body.session_id, patient_profile_id=profile_id)

    return router


async def _all(
    services: ScribeServices, who: ScribeUser, ehr_patient_id: str | None, provider: str | None
) -> tuple[list[PatientProfile], list[str]]:
    """Return the profiles, and the ids of those that cannot be opened."""
    found: list[PatientProfile] = []
    damaged: list[str] = []
    after = None
    while True:
        page = await services.profiles.list(
            who.organization_id,
            user_id=who.user_id,
            ehr_patient_id=ehr_patient_id,
            provider=provider,
            limit=PAGE,
            after=after,
        )
        found += page.items
        damaged += page.damaged
        after = page.following
        if after is None:
            return found, damaged
