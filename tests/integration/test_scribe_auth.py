"""Keys and tokens of the scribe API: whom they let in, and how they are refused."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from osler.access.model import KeyKind
from osler.access.tokens import BearerTokens
from osler.audit.model import OPERATOR
from osler.kernel.errors import NotAllowedError
from tests.access_lab import HandClock
from tests.scribe_lab import EMAIL, Door, opened_door

pytestmark = pytest.mark.anyio


@pytest.fixture
async def door(anyio_backend: str, tmp_path: Path, database_url: str) -> AsyncIterator[Door]:
    async with opened_door(tmp_path, database_url) as door:
        yield door


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def assert_refused(answer: httpx.Response, status: int = 401) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"detail"}
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_clinician_whose_address_changes_keeps_his_sessions_and_nobody_else_gets_them(door: Door) -> None:
    await door.sign_in()
    session_id = (await door.post("/sessions", {})).json()["session_id"]
    for email, user_id, status in (
        ("dr.quux-zorn@clinic.example", "ehr-7", 200),
        (EMAIL, "ehr-8", 404),
        (EMAIL, "EHR-7", 404),
    ):
        headers = {"Authorization": f"Bearer {await door.token(email, user_id)}"}
        assert (await door.http.get(f"/sessions/{session_id}", headers=headers)).status_code == status


async def test_a_key_is_exchanged_for_a_token_of_minutes_that_names_nobody(door: Door) -> None:
    before = datetime.now(UTC)
    answer = await door.exchange(email=EMAIL, third_party_internal_id="ehr-7")
    assert answer.status_code == 200 and answer.json().keys() == {"token", "expiration_time"}
    expires = datetime.fromisoformat(answer.json()["expiration_time"])
    assert expires - before > timedelta(minutes=14) and expires - datetime.now(UTC) <= timedelta(minutes=15)
    assert answer.json()["expiration_time"].endswith(".000000Z")
    token = answer.json()["token"]
    claims = claims_of(token)
    assert claims.keys() == {"iss", "aud", "org", "sub", "key", "jti", "iat", "exp"}
    assert claims["exp"] == expires.timestamp()
    decoded = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
    assert "quux" not in decoded and "ehr-7" not in decoded and "clinic.example" not in decoded
    assert (await door.access(token)).json() == {"is_valid": True, "is_linked": False, "account": None}


async def test_the_first_exchange_makes_the_user_and_later_ones_find_him(door: Door) -> None:
    users = {claims_of(await door.token(email))["sub"] for email in (EMAIL, EMAIL.upper(), EMAIL)}
    assert len(users) == 1
    assert claims_of(await door.token(EMAIL, "ehr-8"))["sub"] not in users
    assert len(await door.core.access.users(door.organization_id)) == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"third_party_internal_id": "7"}, "email"),
        ({"email": EMAIL}, "third_party_internal_id"),
        ({"email": "no address", "third_party_internal_id": "7"}, "email"),
        ({"email": "a@b\0.org", "third_party_internal_id": "7"}, "email"),
        ({"email": EMAIL, "third_party_internal_id": ""}, "third_party_internal_id"),
        ({"email": EMAIL, "third_party_internal_id": "x" * 300}, "third_party_internal_id"),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named_and_not_repeated(
    door: Door, query: dict[str, str], field: str
) -> None:
    answer = await door.exchange(**query)
    assert_refused(answer, 422)
    assert answer.json()["detail"]["field"] == field
    assert not any(value in answer.text for value in query.values() if len(value) > 2)
    assert await door.core.access.users(door.organization_id) == ()


async def test_a_key_that_opens_nothing_is_refused_before_anything_else_is_looked_at(door: Door) -> None:
    assert_refused(await door.http.get("/jwt"))
    assert_refused(await door.exchange("nonsense", email="no address"))
    _, public = await door.core.access.create_key(OPERATOR, door.organization_id, KeyKind.PUBLIC)
    past = datetime.now(UTC) - timedelta(seconds=1)
    _, expired = await door.core.access.create_key(OPERATOR, door.organization_id, KeyKind.TENANT, expires_at=past)
    for key in (public, expired):
        assert_refused(await door.exchange(key, email=EMAIL, third_party_internal_id="7"))
    await door.core.access.disable_key(OPERATOR, door.key.id)
    assert_refused(await door.exchange(email=EMAIL, third_party_internal_id="7"))
    await door.core.access.enable_key(OPERATOR, door.key.id)
    assert (await door.exchange(email=EMAIL, third_party_internal_id="7")).status_code == 200
    await door.core.access.revoke_key(OPERATOR, door.key.id)
    assert_refused(await door.exchange(email=EMAIL, third_party_internal_id="7"))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer a.b.c", "Bearer " + "x" * 10_000, "Bearer é"]
)
async def test_what_is_no_token_is_refused_everywhere(door: Door, header: str) -> None:
    headers = httpx.Headers({b"Authorization": header.encode()} if header else {})
    for method, path in [
        ("GET", "/users/linked-account/access"),
        ("POST", "/users/linked-account"),
        ("DELETE", "/users/linked-account:unlink"),
        ("GET", "/sessions/1"),
        ("POST", "/sessions"),
        ("GET", "/patient-profiles"),
    ]:
        assert_refused(await door.http.request(method, path, headers=headers, content=b"{"))


async def test_a_forged_token_opens_nothing(door: Door) -> None:
    token = await door.token()
    head, body, signature = token.split(".")
    claims = claims_of(token)
    key = await door.core.access.current_signing_key()
    secret = OctKey.import_key(key.secret)

    def signed(claims: dict[str, Any], header: dict[str, Any] | None = None, with_key: OctKey = secret) -> str:
        header = header or {"alg": "HS256", "kid": key.id}
        return jwt.encode(header, claims, with_key, algorithms=["HS256", "HS384", "HS512"])

    assert (await door.access(signed(claims))).status_code == 200  # what follows differs from this in one thing each
    forged = [
        f"{head}.{part({**claims, 'sub': '0' * 24})}.{signature}",
        f"{part({'alg': 'none', 'typ': 'JWT', 'kid': key.id})}.{body}.",
        f"{part({'alg': 'none', 'typ': 'JWT', 'kid': key.id})}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        signed(claims, {"alg": "HS256"}),
        signed(claims, {"alg": "HS256", "kid": "0" * 24}),
        signed(claims, {"alg": "HS512", "kid": key.id}),
        signed(claims, with_key=OctKey.import_key(b"x" * 32)),
        signed({**claims, "aud": "public-api"}),
        signed({**claims, "iss": "somebody"}),
        signed({**claims, "exp": "9999999999"}),
        signed({**claims, "exp": 10**300}),
        signed({name: value for name, value in claims.items() if name != "exp"}),
        signed({**claims, "iat": claims["iat"] + 3600}),
        signed({**claims, "key": "0" * 24}),
    ]
    for each in forged:
        assert_refused(await door.access(each))


async def test_clocks_may_differ_by_a_minute_and_no_more(door: Door) -> None:
    here, theirs, lifetime = HandClock(), HandClock(), timedelta(minutes=5)
    issuer = BearerTokens(access=door.core.access, clock=theirs, lifetime=lifetime)
    verifier = BearerTokens(access=door.core.access, clock=here, lifetime=lifetime)
    user = await door.core.access.find_or_create_user(OPERATOR, door.organization_id, EMAIL, "7")
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    for good, bad, code in (
        (minute, minute + second, "invalid_token"),
        (-lifetime - minute + second, -lifetime - minute, "expired_token"),
    ):
        theirs.time = here.time + good
        assert (await verifier.verify((await issuer.issue(door.key, user)).text)).user_id == user.id
        theirs.time = here.time + bad
        with pytest.raises(NotAllowedError) as refused:
            await verifier.verify((await issuer.issue(door.key, user)).text)
        assert refused.value.code == code
    # So it is at the door.
    for off, status in ((timedelta(seconds=30), 200), (timedelta(hours=1), 401), (-timedelta(hours=1), 401)):
        theirs.time = datetime.now(UTC) + off
        assert (await door.access((await issuer.issue(door.key, user)).text)).status_code == status


async def test_a_token_that_was_good_ends_when_it_expires(door: Door) -> None:
    clock = HandClock()
    bearer_tokens = BearerTokens(access=door.core.access, clock=clock, lifetime=timedelta(minutes=5), fresh=0)
    user = await door.core.access.find_or_create_user(OPERATOR, door.organization_id, EMAIL, "7")
    token = (await bearer_tokens.issue(door.key, user)).text
    assert (await bearer_tokens.verify(token)).user_id == user.id
    clock.go_on(timedelta(minutes=6))
    with pytest.raises(NotAllowedError) as refused:
        await bearer_tokens.verify(token)
    assert refused.value.code == "expired_token"


async def test_tokens_of_a_rotated_signing_key_are_good_until_it_is_retired(door: Door) -> None:
    fresh = BearerTokens(access=door.core.access, clock=door.core.clock, lifetime=timedelta(minutes=5), fresh=0)
    former = await door.token()
    await door.core.access.rotate_signing_key(OPERATOR)
    current = await door.token()
    assert former.split(".")[0] != current.split(".")[0]
    assert [(await door.access(token)).status_code for token in (former, current)] == [200, 200]
    await fresh.verify(former)
    await door.core.access.rotate_signing_key(OPERATOR, overlap=timedelta(0))
    for token in (former, current):
        with pytest.raises(NotAllowedError):
            await fresh.verify(token)


async def test_the_tokens_of_a_key_end_with_it_within_a_second_in_every_process(door: Door) -> None:
    token = await door.token()
    assert (await door.access(token)).status_code == 200
    await door.core.access.disable_key(OPERATOR, door.key.id)
    await asyncio.sleep(1)
    assert_refused(await door.access(token))
    await door.core.access.enable_key(OPERATOR, door.key.id)
    await asyncio.sleep(1)
    assert (await door.access(token)).status_code == 200


async def test_the_key_may_come_along_with_the_token(door: Door) -> None:
    await door.sign_in()
    answer = await door.http.get("/users/linked-account/access", headers={"Heidi-Api-Key": door.key_text})
    assert answer.status_code == 200


async def test_an_account_is_linked_once_and_unlinked(door: Door) -> None:
    await door.sign_in()
    linked = await door.post("/users/linked-account", {"kinde_user_id": "kp_1"})
    assert linked.status_code == 200
    account = linked.json()["account"]
    assert account["user_id"] == "kp_1" and account["ehr_email"] == EMAIL and account["ehr_user_id"] == "ehr-7"
    again = await door.post("/users/linked-account", {"kinde_user_id": "kp_1"})
    assert again.status_code == 409
    assert again.json()["detail"]["type"] == "OpenAPIHeidiAccountAlreadyLinkedError"
    access = (await door.http.get("/users/linked-account/access")).json()
    assert access == {"is_valid": True, "is_linked": True, "account": account}
    assert (await door.http.delete("/users/linked-account:unlink")).json() == {"is_success": True}
    assert (await door.http.delete("/users/linked-account:unlink")).status_code == 404
    assert (await door.http.get("/users/linked-account/access")).json()["is_linked"] is False
    assert (await door.post("/users/linked-account", {"kinde_user_id": "kp_2"})).status_code == 200


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", None, 422),
        (b"", "application/json", 422),
        (b"null", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"kinde_user_id": 7}', "application/json", 422),
        (b'{"kinde_user_id": NaN}', "application/json", 422),
        (b'{"kinde_user_id": 1e999}', "application/json", 422),
        (b'{"kinde_user_id": ' + b"9" * 5000 + b"}", "application/json", 422),
        (b'{"kinde_user_id": "\\u0000"}', "application/json", 422),
        (b'{"kinde_user_id": "\\ud800"}', "application/json", 422),
        (b'{"kinde_user_id": "' + b"x" * 900_000 + b'"}', "application/json", 422),
        (b'{"kinde_user_id": "' + b"x" * 4_200_000 + b'"}', "application/json", 413),
        (b'{"kinde_user_id": "\xff"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 50_000, "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"kinde_user_id": "x"}', "text/plain", 415),
        (b'{"kinde_user_id": "x"}', None, 415),
        (b"kinde_user_id=x", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_body_that_cannot_be_used_changes_nothing(
    door: Door, body: bytes, media_type: str | None, status: int
) -> None:
    await door.sign_in()
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = await door.http.post("/users/linked-account", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert len(answer.text) < 1000 and "Traceback" not in answer.text
    if status == 422 and b"kinde_user_id" in body:
        assert answer.json()["detail"]["field"] == "kinde_user_id"
    assert (await door.http.get("/users/linked-account/access")).json()["is_linked"] is False
