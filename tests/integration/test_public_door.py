"""The public door: each check by itself, hostile keys, ids and queries, what answers say beside their bodies."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from osler.access.public import PublicRoute
from osler.api.app import create_app
from osler.api.public.contract import REASONS, ROUTES
from osler.api.public.rate import RateLimit
from osler.audit.model import OPERATOR
from osler.kernel.errors import CorruptedError, DatabaseUnavailableError, MasterKeyError, StorageFullError
from tests.pipeline_lab import chunks_of, tones
from tests.public_lab import (
    ENCOUNTERS,
    House,
    PublicClient,
    public_house,  # noqa: F401  (a fixture)
    public_key,
    with_rate,
)
from tests.scribe_practice import NOBODYS_SESSION, ok

pytestmark = pytest.mark.anyio

REQUEST_ID = "0b8c1d5e-2f6a-4b7c-9d0e-1f2a3b4c5d6e"


@pytest.fixture
def house(public_house: House) -> House:  # noqa: F811
    return public_house


async def changed_key(house: House, change: str) -> str:
    """Return a key that was switched off in one of the ways there are."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    key, text = await public_key(house.core, house.organization, expires_at=past if change == "expire" else None)
    if change != "expire":
        await getattr(house.core.access, f"{change}_key")(OPERATOR, key.id)
    return text


# 1. Who asks


@pytest.mark.parametrize(
    "presented", [None, b"", b"Bearer", b"Bearer ", b"Basic Y2g6c2s=", b"Bearer\tch_sk_x", b"\xff\xfe", b"ch_sk_abc"]
)
async def test_without_a_bearer_key_one_is_asked_for(house: House, presented: bytes | None) -> None:
    headers = [] if presented is None else [(b"authorization", presented)]
    answer = await PublicClient(house.app).send("GET", ENCOUNTERS, headers=headers)
    answer.refused(401, "missing_bearer")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "presented",
    [
        b"ch_sk_",
        b"ch_sk_" + b"a" * 42,
        b"ch_sk_" + b"a" * 44,
        b"ch_sk_" + b"a" * 42 + b"\x00",
        b"ch_sk_" + "ü".encode() * 43,
        b"ch_sk_" + "ü".encode("latin-1") * 43,
        b"ch_sk_" + b"a" * 43 + b" more",
        b"osk_" + b"a" * 43,
        b"a" * 100_000,
        b"ch_sk_" + b"a" * 100_000,
        b"CH_SK_" + b"a" * 43,
        b"\x00\xff\x80",
    ],
)
async def test_what_cannot_be_a_key_is_malformed(house: House, presented: bytes) -> None:
    answer = await PublicClient(house.app).send("GET", ENCOUNTERS, headers=[(b"authorization", b"Bearer " + presented)])
    answer.refused(401, "malformed_token")


async def test_the_scheme_is_of_any_case_and_blanks_do_no_harm(house: House) -> None:
    for scheme in ("bearer", "BEARER", "bEaReR", "Bearer  "):
        presented = f"{scheme} {house.client.key} ".encode()
        answer = await PublicClient(house.app).send("GET", ENCOUNTERS, headers=[(b"authorization", presented)])
        answer.ok()


async def test_of_several_authorization_lines_none_is_chosen(house: House) -> None:
    good = f"Bearer {house.client.key}".encode()
    for lines, code in (
        ([good, good], "malformed_token"),
        ([good, b"Basic abc"], "malformed_token"),
        ([b"Basic abc", good], "missing_bearer"),
    ):
        headers = [(b"authorization", line) for line in lines]
        (await PublicClient(house.app).send("GET", ENCOUNTERS, headers=headers)).refused(401, code)


@pytest.mark.parametrize("name", ["api_key", "key", "authorization", "access_token", "token"])
async def test_a_key_in_the_query_is_not_looked_at(house: House, name: str) -> None:
    (await PublicClient(house.app).get(ENCOUNTERS, f"{name}={house.client.key}")).refused(401, "missing_bearer")
    (await house.client.get(ENCOUNTERS, f"{name}={house.client.key}")).refused(400, "unsupported_filter", name)


async def test_keys_that_open_nothing_say_why(house: House) -> None:
    (await house.with_key("ch_sk_" + "a" * 43).get(ENCOUNTERS)).refused(401, "invalid_key")
    for change in ("disable", "revoke", "expire"):
        text = await changed_key(house, change)
        (await house.with_key(text).get(ENCOUNTERS)).refused(401, f"{change}d_key")


async def test_a_test_key_is_refused_by_its_prefix_even_if_it_is_none(house: House) -> None:
    _, text = await public_key(house.core, house.organization, test=True)
    for presented in (text, "ch_sk_test_x"):
        (await house.with_key(presented).get(ENCOUNTERS)).refused(401, "test_prefix_not_allowed")


async def test_where_the_api_is_off_no_key_is_looked_at(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.core.public.access.switch_api(OPERATOR, False)
    try:
        for presented in (house.client.key, "ch_sk_test_x", "nonsense"):
            (await house.with_key(presented).get(ENCOUNTERS)).refused(401, "api_keys_disabled")
        (await house.with_key(None).get(ENCOUNTERS)).refused(401, "missing_bearer")
    finally:
        await house.core.public.access.switch_api(OPERATOR, True)


@pytest.mark.parametrize("error", [MasterKeyError, DatabaseUnavailableError])
async def test_while_no_key_can_be_verified_nothing_opens(
    house: House, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def fails(*_: Any) -> Any:
        raise error("Zebedee Quux")

    monkeypatch.setattr(house.core.access, "authenticate", fails)
    answer = await house.client.get(ENCOUNTERS)
    answer.refused(503, "digest_key_unavailable")
    assert answer.headers["retry-after"].isdecimal()
    (await house.with_key("nonsense").get(ENCOUNTERS)).refused(401, "malformed_token")


# 2. What the key may


@pytest.mark.parametrize("route", list(PublicRoute))
async def test_each_route_asks_for_its_scopes_and_its_switch(house: House, route: PublicRoute) -> None:
    path = house.path(route)
    needed = ROUTES[route].scopes
    for missing in needed:
        _, text = await public_key(house.core, house.organization, [scope for scope in needed if scope is not missing])
        (await house.with_key(text).get(path)).refused(403, "missing_scope")
    _, text = await public_key(house.core, house.organization, needed)
    (await house.with_key(text).get(path)).ok()
    await house.core.public.access.switch_route(OPERATOR, route, False)
    try:
        (await house.client.get(path)).refused(403, "route_not_allowed")
        for other in PublicRoute:
            if other is not route:
                (await house.client.get(house.path(other))).ok()
    finally:
        await house.core.public.access.switch_route(OPERATOR, route, True)


async def test_a_users_key_and_an_organization_that_is_not_allowed_are_refused(house: House) -> None:
    user = house.clinician.user
    _, of_user = await public_key(house.core, house.organization, [], user_id=user.id)
    (await house.with_key(of_user).get(ENCOUNTERS)).refused(403, "org_scope_only_required")
    other = await house.core.access.create_organization(OPERATOR, "Not allowed")
    _, text = await public_key(house.core, other, [])
    (await house.with_key(text).get(ENCOUNTERS)).refused(403, "organization_not_allowlisted")


# 5. Ids


HOSTILE_IDS = [
    "..", ".", "%2e%2e", "%2F", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a%2Fdocuments%2Fb", "%00", "1%00", "%FF%FE", "%C3",
    "%ED%A0%80", "%", "%zz", "'%20OR%201=1", "a" * 10_000, "%F0%9F%98%80" * 1000, "%0d%0aX: y", " ", ";", "null",
    "1e17", "-1", "100000000000000000 ", "%31" * 18,
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=lambda text: text[:20])
async def test_an_id_that_cannot_be_is_one_that_is_not_there(house: House, hostile: str) -> None:
    for route in PublicRoute:
        if route is not PublicRoute.LIST_ENCOUNTERS:
            path = ROUTES[route].path.format(encounter_id=hostile, document_id=hostile)
            (await house.client.get(path)).refused(404, "encounter_not_found")
            (await house.with_key(None).get(path)).refused(401, "missing_bearer")
    (await house.client.get(house.path(PublicRoute.DOCUMENT, document_id=hostile))).refused(404, "document_not_found")


async def test_an_escaped_path_is_the_path(house: House) -> None:
    escaped = "".join(f"%{ord(digit):02X}" for digit in house.encounter_id)
    (await house.client.get(f"/%65xternal/v1/%65ncounters/{escaped}")).ok()


# Where no route is


@pytest.mark.parametrize(
    "path",
    [
        "/external",
        "/external/",
        "/external/v1",
        "/external/v2/encounters",
        "/external/v1/encounters/",
        "/external/v1/encounters//documents/x",
        "/external/v1/encounters/x/documents",
        "/external/v1/encounters/x/documents/",
        "/external/v1/encounters/x/documents/y/",
        "/external/v1/encounters/x/documents/y/video",
        "/external/v1/encounters/x/documents/y/audio/",
        "/external//v1/encounters",
        "/external/V1/encounters",
        "/external%2Fv1/encounters",
        "/external/%00",
        "/external/%FF",
        "/external/../healthz",
    ],
)
async def test_unknown_paths_keep_the_shape_and_ask_for_no_key(house: House, path: str) -> None:
    for client in (house.client, house.with_key(None)):
        for method in ("GET", "POST"):
            (await client.send(method, path)).refused(404, "route_not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW"])
async def test_other_methods_keep_the_shape_and_hear_of_get(house: House, method: str) -> None:
    for route in PublicRoute:
        answer = await house.client.send(method, house.path(route))
        answer.refused(405, "method_not_allowed")
        assert answer.headers["allow"] == "GET"


async def test_head_is_another_method_and_its_answer_has_no_body(house: House) -> None:
    answer = await house.client.send("HEAD", ENCOUNTERS)
    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "GET")
    assert (await house.client.send("HEAD", "/external/x")).status == 404


async def test_below_a_proxys_path_it_is_the_same_api(house: House) -> None:
    (await house.client.send("GET", ENCOUNTERS, root_path="/osler")).ok()
    (await house.client.send("GET", "/external/v9", root_path="/osler")).refused(404, "route_not_found")


# What answers say beside their bodies


@pytest.mark.parametrize("route", [PublicRoute.DOCUMENT, PublicRoute.TRANSCRIPT])
async def test_a_copy_that_is_current_is_not_sent_again_and_is_on_record_all_the_same(
    house: House, route: PublicRoute
) -> None:
    path = house.path(route)
    first = await house.client.get(path)
    first.ok()
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag) and first.headers["cache-control"] == "private, no-cache"
    before = len(await house.core.public.disclosures.of_encounter(house.encounter_id))
    same = [tag, f"W/{tag}", f'"x", {tag}', "*", f"{tag},"]
    for given in same:
        again = await house.client.get(path, if_none_match=given)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
    for given in ['"x"', "", tag.strip('"'), tag[:-1], '"' + tag]:
        assert (await house.client.get(path, if_none_match=given)).body == first.body
    after = len(await house.core.public.disclosures.of_encounter(house.encounter_id))
    assert after == before + len(same) + 5
    (await house.client.get(house.path(route, NOBODYS_SESSION), if_none_match="*")).refused(404, "encounter_not_found")


async def test_another_version_has_another_tag(house: House) -> None:
    tags = {
        route: (await house.client.get(house.path(route))).headers["etag"]
        for route in (PublicRoute.DOCUMENT, PublicRoute.TRANSCRIPT)
    }
    assert len(set(tags.values())) == 2
    session = f"/sessions/{house.encounter_id}"
    turns = ok(await house.clinician.get(f"{session}/transcript"))
    assert turns  # it is there before it is corrected
    await house.core.audio.upload(
        house.clinician.user_as_actor,
        house.organization.id,
        house.encounter_id,
        chunks_of(tones(2, 3, 4)),
        media_type="audio/wav",
    )
    for route, tag in tags.items():
        answer = await house.client.get(house.path(route), if_none_match=tag)
        answer.ok()
        assert answer.headers["etag"] != tag


async def test_the_requests_id_comes_back_and_stands_in_the_log_and_the_record(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    client = PublicClient(house.app, house.client.key, REQUEST_ID)
    answer = await client.get(house.path(PublicRoute.ENCOUNTER))
    answer.ok()
    assert answer.headers["x-request-id"] == REQUEST_ID
    (await client.get("/external/v1/encounters/Zebedee%20Quux", f"key={client.key}")).refused(
        400, "unsupported_filter", "key"
    )
    logged = capfd.readouterr().err
    lines = [json.loads(line) for line in logged.splitlines()]
    routes = [line["route"] for line in lines if line.get("request_id") == REQUEST_ID]
    assert routes == ["/external/v1/encounters/{encounter_id}"] * 2
    assert "Zebedee" not in logged and str(client.key) not in logged
    (last, *_) = await house.core.audit.list(house.organization.id, action="encounter.disclosed", limit=1)
    assert last.event.actor.id == house.key.id and last.event.actor.origin == "192.0.2.7"
    assert last.event.detail == {"route": "getPublicEncounter", "request": REQUEST_ID}


async def test_every_success_is_on_record_with_what_it_showed_and_no_refusal_is(house: House) -> None:
    async def recorded() -> list[tuple[str, dict[str, str]]]:
        entries = await house.core.audit.list(house.organization.id, limit=1000)
        return [
            (entry.event.action, dict(entry.event.subject))
            for entry in reversed(entries)
            if entry.event.action.endswith(".disclosed")
        ]

    before = await recorded()
    for route in PublicRoute:
        (await house.client.get(house.path(route))).ok()
        (await house.client.get(house.path(route), "owners=1")).refused(400, "unsupported_filter", "owners")
    (await house.client.get(house.path(PublicRoute.DOCUMENT, document_id="x"))).refused(404, "document_not_found")
    encounter, document = house.encounter_id, house.documents["ambient_transcript"]
    assert (await recorded())[len(before) :] == [
        ("encounters.disclosed", {"encounters": encounter}),
        ("encounter.disclosed", {"encounter": encounter}),
        ("document.disclosed", {"encounter": encounter, "document": document}),
        ("transcript.disclosed", {"encounter": encounter, "document": document}),
        ("recording.disclosed", {"encounter": encounter, "document": document}),
    ]


async def test_what_cannot_be_recorded_is_not_shown(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: Any) -> None:
        raise StorageFullError("no space is left")

    monkeypatch.setattr(house.core.audit, "record", full)
    for route in PublicRoute:
        answer = await house.client.get(house.path(route))
        answer.refused(500, "internal_error")
        assert house.encounter_id.encode() not in answer.body and "retry-after" in answer.headers


async def test_nobody_is_told_to_ask_again_for_what_is_damaged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def damaged(*_: Any) -> None:
        raise CorruptedError("its tag does not fit")

    monkeypatch.setattr(house.core.public.reading, "document", damaged)
    answer = await house.client.get(house.path(PublicRoute.DOCUMENT))
    answer.refused(500, "internal_error")
    assert "retry-after" not in answer.headers


async def test_whatever_fails_keeps_the_shape_and_its_cause_to_the_log(
    house: House, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for error in (DatabaseUnavailableError("Zebedee Quux"), RuntimeError("Zebedee Quux")):

        async def fails(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(type(house.core.public.reading), "page", fails)
        answer = await house.client.get(ENCOUNTERS)
        answer.refused(500, "internal_error")
        logged = capfd.readouterr().err
        assert type(error).__name__ in logged and "Zebedee" not in logged + answer.body.decode()


# The rate


async def test_a_key_has_its_own_number_of_requests_and_hears_how_many_are_left(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("osler.api.public.gate.RateLimit", lambda quota: RateLimit(quota, lambda: now[0]))
    app = create_app(with_rate(house.core, 3))
    _, text = await public_key(house.core, house.organization, [])
    client, other = PublicClient(app, text), PublicClient(app, house.client.key)
    for left in (2, 1, 0):
        answer = await client.get(ENCOUNTERS)
        answer.refused(403, "missing_scope")
        assert answer.headers["ratelimit-policy"] == '"key";q=3;w=60'
        assert answer.headers["ratelimit"] == f'"key";r={left};t=60'
        assert "retry-after" not in answer.headers
    now[0] += 20.5
    for _ in range(2):
        answer = await client.get(ENCOUNTERS)
        answer.refused(429, "rate_limited")
        assert answer.headers["retry-after"] == "40"
        assert answer.headers["ratelimit"] == '"key";r=0;t=40'
    (await other.get(ENCOUNTERS)).ok()
    now[0] += 39.5
    assert (await client.get(ENCOUNTERS)).headers["ratelimit"] == '"key";r=2;t=60'
    strangers = PublicClient(app, "ch_sk_" + "a" * 43)
    assert "ratelimit" not in (await strangers.get(ENCOUNTERS)).headers


# Beside the API


async def test_the_description_is_served_to_everybody(house: House) -> None:
    answer = await house.with_key(None).get("/openapi/v1/openapi.json")
    document = answer.ok()
    assert list(document["paths"]) == [route.path for route in ROUTES.values()]
    assert answer.headers["cache-control"] == "public, max-age=300"
    told = document["components"]["schemas"]["PublicApiErrorResponse"]["properties"]["reason_code"]["enum"]
    assert told == sorted(code for code, reason in REASONS.items() if not reason.ours)


async def test_other_doors_do_not_notice(house: House) -> None:
    for path in ("/healthz", "/externals", "/openapi/v2/openapi.json"):
        assert (await house.with_key(None).get(path)).status == (404 if path == "/externals" else 200)
