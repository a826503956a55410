"""Everything that can be wrong with a request, in the contract's order, and requests with several faults at once."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from typing import Any, Final
from urllib.parse import quote

from tests.contract.public.contract import LIST, Route
from tests.contract.public.lab import DISABLED, EXPIRED, OF_USER, REVOKED, TEST, UNKNOWN

ORDER: Final = (
    # who asks
    "missing_bearer",
    "api_keys_disabled",
    "test_prefix_not_allowed",
    "malformed_token",
    "digest_key_unavailable",
    "invalid_key",
    "disabled_key",
    "revoked_key",
    "expired_key",
    # whether he may
    "org_scope_only_required",
    "route_not_allowed",
    "organization_not_allowlisted",
    "missing_scope",
    # what he asks
    "invalid_limit",
    "invalid_offset",
    "invalid_sort",
    "invalid_query",
    "unsupported_filter",
    # what there is
    "encounter_not_found",
    "cross_organization_denied",
    "demo_training_denied",
    "document_not_found",
    "unsupported_document_type",
    "transcript_not_found",
    "audio_not_available_for_document",
    "audio_not_found",
    "audio_storage_unavailable",
)
"""The one order of checks, by the prose of the contract."""

# What a deployment can lack
API_OFF, ROUTE_OFF, NOT_ALLOWED = "the API is off", "the route is off", "the organization is not allowed"
NO_DIGEST_KEY, NO_STORAGE = "no digest key", "no storage"

# What the Authorization header can be, instead of that of a key
NO_HEADER, BASIC, IN_QUERY = "no header", "basic", "key in the query"
NONSENSE, SHORT, OTHER_KIND = "nonsense", "short", "key of another door"

# Where an encounter can be, and what its document can be
OWN, NOWHERE, FOREIGN, DEMO, TRAINING, FOREIGN_DEMO, ERASED = (
    "own", "nowhere", "foreign", "demo", "training", "foreign demo", "erased",
)  # fmt: skip
WHOLE, NO_DOCUMENT, OTHERS_DOCUMENT, BILLING, CHECKLIST, NOTE, NO_TEXT, NO_SOUND, SOUND_ERASED = (
    "whole", "no document", "another encounter's", "billing", "checklist", "note", "no text", "no sound",
    "sound erased",
)  # fmt: skip

BAD_LIMITS = (
    "0", "101", "", " ", "5 ", " 5", "+5", "-1", "05", "5.0", "1e1", "0x10", "５", "99999999999999999999", "1,5",
    "none", "1_0",
)  # fmt: skip
BAD_OFFSETS = ("10001", "-1", "01", "00", "", "+0", "1.0", "1e3", " 0", "٣", "10000000000000000000000", "null")
BAD_SORTS = ("up", "ASC", "", "desc ", "descending", "created_at", "asc,desc")
BAD_TIMES = (
    "yesterday", "2026-05-01T00:00:00", "2026-05-01", "", "1777649400", "2026-13-01T00:00:00Z", "2026-05-01T25:00:00Z",
    "2026-05-01T00:00:00+99:00", "2026-05-01T00:00:00Z ", "0000-01-01T00:00:00Z",
)  # fmt: skip
STRANGE_NAMES = (
    "owners", "Limit", "a.b-c_d", "0", "x" * 64, "status", "encounter_id", "api_key", "__proto__",
)  # fmt: skip
UNTOLD_NAMES = ("x" * 65, "näme", "a b", "limit[]", "", "a\x00b", "<script>", "limit ", "a/b", "a\nb")
"""Names that an answer does not repeat."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request. ``code`` is what it is answered with when it is the first."""

    code: str
    says: str
    field: str | None = None
    header: str | None = None
    key: str | None = None
    """A state of the key, or ``no`` and the scope that it lacks."""
    lacks: str | None = None
    query: str = ""
    encounter: str | None = None
    document: str | None = None

    def rank(self, route: Route) -> tuple[int, int]:
        """Where it stands in the order; of faults of one code the earlier parameter is the first."""
        names = route.query_names
        return ORDER.index(self.code), names.index(self.field) if self.field in names else len(names)


@dataclass(frozen=True)
class Case:
    """A request with faults, of which the first is to be answered."""

    route: Route
    faults: tuple[Fault, ...]

    @property
    def first(self) -> Fault:
        return min(self.faults, key=lambda fault: fault.rank(self.route))

    @property
    def lacks(self) -> frozenset[str]:
        return frozenset(fault.lacks for fault in self.faults if fault.lacks)

    @property
    def header(self) -> str | None:
        return next((fault.header for fault in self.faults if fault.header), None)

    @property
    def key_states(self) -> frozenset[str]:
        return frozenset(fault.key for fault in self.faults if fault.key)

    @property
    def query(self) -> str:
        return "&".join(fault.query for fault in self.faults if fault.query)

    @property
    def encounter(self) -> str:
        return next((fault.encounter for fault in self.faults if fault.encounter), OWN)

    @property
    def document(self) -> str:
        return next((fault.document for fault in self.faults if fault.document), WHOLE)

    @property
    def expected(self) -> dict[str, Any]:
        """The body that the contract gives as the example, with the field of this request."""
        return {**self.route.example(self.first.code), "field": self.first.field}

    def __str__(self) -> str:
        return f"{self.route.id}: {' + '.join(fault.says for fault in self.faults)}"


def faults_of(route: Route) -> list[Fault]:
    """Return every fault that a request to this route can have, each code in all its forms."""
    found = [*_of_header(), *_of_key(route), *_of_deployment()]
    found += _of_list() if route is LIST else _of_other_query()
    found += _of_lookup(route)
    answered = {code for codes in route.codes.values() for code in codes}
    return [fault for fault in found if fault.code in answered]


def cases_of_one(route: Route) -> Iterator[Case]:
    for fault in faults_of(route):
        yield Case(route, (fault,))


def cases_of_two(route: Route) -> Iterator[Case]:
    """Yield a request for every pair of things that can be wrong at once.

    Every form of a fault comes in some pair, and every two kinds of faults come together.
    """
    kinds = [list(group) for _, group in groupby(faults_of(route), key=lambda fault: (fault.code, fault.field is None))]
    turn = 0
    for one, other in combinations(kinds, 2):
        both = [(a, b) for a in one for b in other if can_be_together(a, b)]
        for _ in range(min(len(both), 3)):
            turn += 1
            yield Case(route, both[turn * 7 % len(both)])
    for kind in kinds:
        for a, b in combinations(kind, 2):
            if a.field != b.field and can_be_together(a, b) and a.rank(route) != b.rank(route):
                yield Case(route, (a, b))


def cases_of_three(route: Route, count: int, seed: int) -> Iterator[Case]:
    """Yield so many requests with three or four faults, the same ones for the same seed."""
    chance = random.Random(f"{route.id} {seed}")
    faults = faults_of(route)
    while count:
        some = chance.sample(faults, chance.choice((3, 3, 4)))
        kinds = {fault.code for fault in some}
        if len(kinds) == len(some) and all(can_be_together(a, b) for a, b in combinations(some, 2)):
            count -= 1
            yield Case(route, tuple(some))


def can_be_together(a: Fault, b: Fault) -> bool:
    """Say whether one request can have both."""
    if a.header and b.header:
        return False
    for one, other in ((a, b), (b, a)):
        if one.header and other.key:  # no key is shown, or what is shown is no key
            return one.header == SHORT and other.key == TEST
        if one.key == UNKNOWN and other.key and other.key != TEST:
            return False
    if a.key and b.key and a.key.startswith("no ") and b.key.startswith("no "):
        return False
    if a.encounter and b.encounter:
        return False
    if a.document and b.document:
        return False
    pair = {a.encounter or "", b.encounter or ""} - {""}
    if pair & {ERASED, NOWHERE} and (a.document or b.document) not in (None, NO_DOCUMENT, OTHERS_DOCUMENT):
        return False  # nothing is left of it that could be wrong
    return not (a.query and b.query and _name(a.query) == _name(b.query))


def _name(query: str) -> str:
    return query.partition("=")[0]


def _of_header() -> Iterator[Fault]:
    for header in (NO_HEADER, BASIC, IN_QUERY):
        yield Fault("missing_bearer", header, header=header)
    for header in (NONSENSE, SHORT, OTHER_KIND):
        yield Fault("malformed_token", header, header=header)


def _of_key(route: Route) -> Iterator[Fault]:
    codes = {
        TEST: "test_prefix_not_allowed",
        UNKNOWN: "invalid_key",
        DISABLED: "disabled_key",
        REVOKED: "revoked_key",
        EXPIRED: "expired_key",
        OF_USER: "org_scope_only_required",
    }
    for state, code in codes.items():
        yield Fault(code, f"key: {state}", key=state)
    for scope in (*route.scopes, "all"):
        yield Fault("missing_scope", f"no {scope}", key=f"no {scope}")


def _of_deployment() -> Iterator[Fault]:
    yield Fault("api_keys_disabled", API_OFF, lacks=API_OFF)
    yield Fault("digest_key_unavailable", NO_DIGEST_KEY, lacks=NO_DIGEST_KEY)
    yield Fault("route_not_allowed", ROUTE_OFF, lacks=ROUTE_OFF)
    yield Fault("organization_not_allowlisted", NOT_ALLOWED, lacks=NOT_ALLOWED)


def _of_list() -> Iterator[Fault]:
    bad: Sequence[tuple[str, str, Sequence[str]]] = (
        ("invalid_limit", "limit", BAD_LIMITS),
        ("invalid_offset", "offset", BAD_OFFSETS),
        ("invalid_sort", "sort_order", BAD_SORTS),
        ("invalid_query", "start_at", BAD_TIMES),
        ("invalid_query", "end_at", BAD_TIMES),
    )
    good = {"limit": "5", "offset": "0", "sort_order": "asc", "start_at": "2026-05-01T00:00:00Z",
            "end_at": "2126-05-01T00:00:00Z"}  # fmt: skip
    for code, name, values in bad:
        for value in values:
            yield Fault(code, f"{name}={value!r}", field=name, query=f"{name}={quote(value, safe='')}")
        twice = f"{name}={quote(good[name])}"
        yield Fault(code, f"{name} twice", field=name, query=f"{twice}&{twice}")
        yield Fault(code, f"{name} without a value", field=name, query=name)
        encoded = "".join(f"%{ord(letter):02x}" for letter in name)
        yield Fault(code, f"{name} encoded", field=name, query=f"{encoded}={quote(values[0])}")
    yield from _strange(STRANGE_NAMES, UNTOLD_NAMES)


def _of_other_query() -> Iterator[Fault]:
    yield from _strange((*STRANGE_NAMES, "limit", "offset", "sort_order", "start_at"), UNTOLD_NAMES)


def _strange(told: Sequence[str], untold: Sequence[str]) -> Iterator[Fault]:
    for name in told:
        yield Fault("unsupported_filter", f"filter {name}", field=name, query=f"{quote(name, safe='')}=5")
    yield Fault("unsupported_filter", "a name without a value", field="owners", query="owners")
    for name in untold:
        yield Fault("unsupported_filter", f"filter {name!r}", query=f"{quote(name, safe='')}=5")
    yield Fault("unsupported_filter", "a name that is no UTF-8", query="%ff%fe=1")


def _of_lookup(route: Route) -> Iterator[Fault]:
    if route is LIST:
        return
    yield Fault("encounter_not_found", "no encounter", encounter=NOWHERE)
    yield Fault("encounter_not_found", "erased encounter", encounter=ERASED)
    yield Fault("cross_organization_denied", "another organization's", encounter=FOREIGN)
    yield Fault("cross_organization_denied", "another organization's demo", encounter=FOREIGN_DEMO)
    yield Fault("demo_training_denied", "demo", encounter=DEMO)
    yield Fault("demo_training_denied", "training", encounter=TRAINING)
    if "document_id" not in route.path_names:
        return
    yield Fault("document_not_found", "no document", document=NO_DOCUMENT)
    yield Fault("document_not_found", "another encounter's document", document=OTHERS_DOCUMENT)
    yield Fault("unsupported_document_type", "billing", document=BILLING)
    yield Fault("unsupported_document_type", "checklist", document=CHECKLIST)
    if route.id != "getPublicDocument":
        yield Fault("unsupported_document_type", "note", document=NOTE)
    yield Fault("transcript_not_found", "transcript without text", document=NO_TEXT)
    if route.id == "getPublicDocumentAudioUrl":
        yield Fault("audio_not_available_for_document", "transcript without sound", document=NO_SOUND)
        yield Fault("audio_not_available_for_document", "transcript without text", document=NO_TEXT)
        yield Fault("audio_not_found", "sound erased", document=SOUND_ERASED)
        yield Fault("audio_storage_unavailable", NO_STORAGE, lacks=NO_STORAGE)


@dataclass
class Produced:
    """Which reason codes came of which route, by status."""

    codes: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    def note(self, route: Route, status: int, code: str) -> None:
        self.codes.setdefault((route.id, status), set()).add(code)

    def of(self, route: Route) -> dict[int, frozenset[str]]:
        return {status: frozenset(codes) for (of, status), codes in self.codes.items() if of == route.id}
