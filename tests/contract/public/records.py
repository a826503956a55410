"""What the tests of the order of checks ask for: a visit for every place where one can be, and each way it can be."""

from dataclasses import dataclass

from osler.access.public import PublicRoute
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureScope, Purpose
from tests.contract.public.faults import (
    API_OFF,
    BASIC,
    BILLING,
    CHECKLIST,
    DEMO,
    ERASED,
    FOREIGN,
    FOREIGN_DEMO,
    IN_QUERY,
    NO_DIGEST_KEY,
    NO_DOCUMENT,
    NO_HEADER,
    NO_SOUND,
    NO_STORAGE,
    NO_TEXT,
    NONSENSE,
    NOT_ALLOWED,
    NOTE,
    NOWHERE,
    OTHER_KIND,
    OTHERS_DOCUMENT,
    OWN,
    ROUTE_OFF,
    SHORT,
    SOUND_ERASED,
    TRAINING,
    WHOLE,
    Case,
)
from tests.contract.public.lab import (
    ALL_SCOPES,
    NOBODYS_DOCUMENT,
    NOBODYS_ENCOUNTER,
    TEST,
    Clinic,
    Lab,
    Visit,
)

SLOTS = {WHOLE: "transcript", BILLING: "billing", CHECKLIST: "checklist", NOTE: "note"}

HEADERS = {
    BASIC: "Basic Y2xpbmljOnNlY3JldA==",
    NONSENSE: "Bearer no-key-at-all",
    SHORT: "Bearer ch_sk_tooshort",
    OTHER_KIND: "Bearer osk_" + "a" * 43,
}


@dataclass
class Records:
    """Visits by where they are and what is the matter with their transcript."""

    clinic: Clinic
    foreign: Clinic
    visits: dict[tuple[str, str], Visit]
    erased: Visit

    def ids(self, case: Case) -> tuple[str, str]:
        """Return the encounter and the document that a request of this case names."""
        if case.encounter == NOWHERE:
            return NOBODYS_ENCOUNTER, self._document(self.visits[OWN, WHOLE], case.document)
        if case.encounter == ERASED:
            return self.erased.id, self._document(self.erased, case.document)
        damage = case.document if (case.encounter, case.document) in self.visits else WHOLE
        visit = self.visits[case.encounter, damage]
        return visit.id, self._document(visit, case.document)

    def _document(self, visit: Visit, wanted: str) -> str:
        if wanted == NO_DOCUMENT:
            return NOBODYS_DOCUMENT
        if wanted == OTHERS_DOCUMENT:
            return self.visits[OWN, NO_TEXT]["transcript"]
        return visit[SLOTS.get(wanted, "transcript")]


async def make_records(lab: Lab) -> Records:
    """Have all of them come in."""
    clinic, foreign = await lab.clinic(), await lab.clinic("Other clinic")
    places = {
        OWN: (clinic, Purpose.CARE),
        FOREIGN: (foreign, Purpose.CARE),
        DEMO: (clinic, Purpose.DEMO),
        TRAINING: (clinic, Purpose.TRAINING),
        FOREIGN_DEMO: (foreign, Purpose.DEMO),
    }
    visits = {}
    for place, (owner, purpose) in places.items():
        visits[place, WHOLE] = await owner.whole(purpose)
        visits[place, NO_TEXT] = await owner.lose_transcript(await owner.heard(purpose))
        visits[place, NO_SOUND] = await owner.lose_recording(await owner.heard(purpose))
        visits[place, SOUND_ERASED] = await owner.heard(purpose)
        await owner.erase(visits[place, SOUND_ERASED].id, ErasureScope.AUDIO)
    erased = await clinic.heard()
    await clinic.erase(erased.id)
    return Records(clinic, foreign, visits, erased)


async def headers_of(case: Case, lab: Lab, records: Records) -> dict[str, str]:
    """Return what a request of this case carries."""
    if case.header in (NO_HEADER, IN_QUERY):
        return {}
    if case.header == SHORT and TEST in case.key_states:
        return {"Authorization": "Bearer ch_sk_test_tooshort"}
    if case.header is not None:
        return {"Authorization": HEADERS[case.header]}
    states = {state for state in case.key_states if not state.startswith("no ")}
    lacking = {state.removeprefix("no ") for state in case.key_states if state.startswith("no ")}
    scopes = frozenset() if "all" in lacking else {scope for scope in ALL_SCOPES if scope.value not in lacking}
    return {"Authorization": f"Bearer {await lab.key(records.clinic, states, scopes)}"}


async def query_of(case: Case, lab: Lab, records: Records) -> str:
    """Return the query string of a request of this case, with its question mark."""
    parts = [case.query] if case.query else []
    if case.header == IN_QUERY:
        parts.append(f"api_key={await lab.key(records.clinic)}")
    return "?" + "&".join(parts) if parts else ""


async def apply(lacks: frozenset[str], case: Case, lab: Lab, records: Records) -> None:
    """Have the deployment lack exactly this for the route of the case."""
    core = lab.core
    await core.public.access.switch_api(OPERATOR, API_OFF not in lacks)
    await core.public.access.switch_route(OPERATOR, PublicRoute(case.route.id), ROUTE_OFF not in lacks)
    await core.access.update_organization(OPERATOR, records.clinic.organization.id, public_api=NOT_ALLOWED not in lacks)
    blobs, away = lab.folder / "data" / "blobs", lab.folder / "data" / "blobs-away"
    if NO_STORAGE in lacks and blobs.exists():
        blobs.rename(away)
    elif NO_STORAGE not in lacks and away.exists():
        away.rename(blobs)
    lab.a_moment_later()


def is_without_digest_key(case: Case) -> bool:
    return NO_DIGEST_KEY in case.lacks
