"""What strangers send over the wire: answered in the contract's form, without a failure; the log tells none of it."""

import json
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.contract.public.contract import AUDIO, DOCUMENT, ENCOUNTER, FOUR_KEYS, LIST, ROUTES, TRANSCRIPT
from tests.contract.public.live import Live

CODES_OF_KEYS = {"missing_bearer", "malformed_token", "invalid_key", "test_prefix_not_allowed"}

SECRET = "ch_sk_" + "Q9" * 21 + "Z"
"""Looks like a key, and is none."""

HOSTILE_IDS = (
    b"%2F", b"a%2Fb", b"..%2F..%2Fetc%2Fpasswd", b"%2e%2e", b".", b"..", b"...", b"%00", b"a%00b", b"%ff%fe", b"%C0%80",
    b"%ED%A0%80", b"%E2%80%AE", b"%F0%9F%A9%BA", b"%", b"%zz", b"%2", b"a;b=c", b"a,b", b"*", b"'%20OR%20'1'='1",
    b"%0a", b"%0d%0aX-Injected:%20yes", b"<script>", b"{encounter_id}", b"null", b"-1", b"1e400", b"9" * 400,
    b"x" * 10_000,
    b"%E2%82%AC" * 1000, b"~", b"a" * 129, b"\\..\\..", b"%252F", b"%u0000",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def nothing_of_it_is_logged(live: Live) -> Iterator[None]:
    """After all of these tests, look for what was sent."""
    yield
    text = live.server.text()
    for secret in (live.key, live.key[6:30], SECRET, live.visit.id, live.visit["note"], live.foreign.id, "uillfeather"):
        assert secret not in text
    for marker in ("passwd", "X-Injected", "<script>", "Traceback", "xxxxxxxxxx"):
        assert marker not in text
    assert not [line for line in live.server.lines() if line.get("status", 0) >= 500]


def test_the_good_request_is_answered(live: Live) -> None:
    ids = {ENCOUNTER: (), DOCUMENT: (live.visit["note"],), TRANSCRIPT: (live.visit["transcript"],)}
    for route in ROUTES:
        document = ids.get(route, (live.visit["transcript"],))
        answer = live.ask(route.url(live.visit.id, *document))
        assert answer.status == 200, (route.id, answer.body)
        assert json.loads(answer.body)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"bearer " + SECRET.encode(),
        b"BEARER\t" + SECRET.encode(),
        b"Bearer  " + SECRET.encode(),
        b"Bearer" + SECRET.encode(),
        b"Bearer Bearer " + SECRET.encode(),
        b"Bearer " + SECRET.encode() + b" extra",
        b'Bearer "' + SECRET.encode() + b'"',
        b"Basic " + SECRET.encode(),
        b"Token token=" + SECRET.encode(),
        SECRET.encode(),
        "Bearer ch_sk_ключ".encode(),
        b"Bearer ch_sk_\xff\xfe\xfd",
        b"Bearer ch_sk_" + "\u202e\U0001fa7a".encode(),
        b"Bearer " + b"A" * 100_000,
        b"Bearer ch_sk_" + b"A" * 100_000,
        b"Bearer ch_sk_test_" + b"A" * 43,
        b"Bearer ch_sk_" + b"A" * 42,
        b"Bearer ch_sk_" + b"A" * 44,
        b"Bearer osk_" + b"A" * 43,
        b"Bearer ch_sk_\x00" + b"A" * 42,
        b"Bearer \x00",
        b"Bearer %s\x00" % SECRET.encode(),
        b"Bearer ../../etc/passwd",
        b"Bearer {}",
    ],
    ids=lambda value: repr(value[:24]),
)
def test_whatever_stands_for_a_key_is_refused_in_the_contracts_form(live: Live, value: bytes) -> None:
    answer = live.ask(LIST.path, b"Authorization: " + value, key=False)
    assert answer.status == 401 and answer.code in CODES_OF_KEYS
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize("scheme", [b"bearer", b"BEARER", b"bEaReR"])
def test_the_scheme_is_read_in_any_case(live: Live, scheme: bytes) -> None:
    answer = live.ask(LIST.path, b"Authorization: %b %b" % (scheme, live.key.encode()), key=False)
    assert answer.status == 200


def test_a_good_key_with_nul_beside_it_is_no_key(live: Live) -> None:
    for value in (b"\x00%b", b"%b\x00", b"%b\x00\x00x"):
        answer = live.ask(LIST.path, b"Authorization: Bearer " + value % live.key.encode(), key=False)
        assert answer.status == 401 and answer.code in CODES_OF_KEYS


def test_of_several_headers_no_key_is_picked(live: Live) -> None:
    good, bad = b"Authorization: Bearer " + live.key.encode(), b"Authorization: Bearer " + SECRET.encode()
    for headers in ((good, bad), (bad, good), (good, good), (good, b"Authorization: Basic eDp5")):
        answer = live.ask(LIST.path, *headers, key=False)
        assert answer.status == 401 and answer.code in CODES_OF_KEYS


def test_a_key_in_the_query_a_cookie_or_another_header_is_none(live: Live) -> None:
    key = live.key.encode()
    for query in (b"api_key=", b"access_token=", b"key=", b"authorization=Bearer%20"):
        answer = live.ask(LIST.path.encode() + b"?" + query + key, key=False)
        assert (answer.status, answer.code) == (401, "missing_bearer")
    for header in (b"X-API-Key: ", b"Cookie: api_key=", b"Proxy-Authorization: Bearer ", b"Heidi-Api-Key: "):
        answer = live.ask(LIST.path, header + key, key=False)
        assert (answer.status, answer.code) == (401, "missing_bearer")


def test_whatever_stands_for_an_id_is_not_found(live: Live) -> None:
    good = live.visit.id.encode()
    for hostile in HOSTILE_IDS:
        for target, codes in (
            (b"/external/v1/encounters/%b" % hostile, {"encounter_not_found"}),
            (b"/external/v1/encounters/%b/documents/%b" % (hostile, hostile), {"encounter_not_found"}),
            (b"/external/v1/encounters/%b/documents/%b" % (good, hostile), {"document_not_found"}),
            (b"/external/v1/encounters/%b/documents/%b/transcript" % (good, hostile), {"document_not_found"}),
            (b"/external/v1/encounters/%b/documents/%b/audio" % (good, hostile), {"document_not_found"}),
        ):
            answer = live.ask(target)
            # A server may take apart what is escaped before it looks for the route: then there is none.
            assert answer.status == 404 and answer.code in codes | {"route_not_found"}, target[:80]
            assert hostile not in answer.body or len(hostile) < 8


def test_ids_of_others_and_other_kinds_find_nothing(live: Live) -> None:
    assert live.ask(ENCOUNTER.url(live.foreign.id)).code == "cross_organization_denied"
    assert live.ask(ENCOUNTER.url(live.visit["note"])).code == "encounter_not_found"
    assert live.ask(ENCOUNTER.url(live.organization_id)).code == "encounter_not_found"
    assert live.ask(DOCUMENT.url(live.visit.id, live.visit.id)).code == "document_not_found"
    assert live.ask(DOCUMENT.url(live.visit.id, live.foreign["transcript"])).code == "document_not_found"


def test_an_id_that_is_escaped_without_need_is_the_same_id(live: Live) -> None:
    escaped = "".join(f"%{ord(letter):02X}" for letter in live.visit.id)
    assert live.ask(ENCOUNTER.url(escaped)).status == 200


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        (b"limit=5&limit=5", "invalid_limit", "limit"),
        (b"limit=5&%6Cimit=5", "invalid_limit", "limit"),
        (b"%6c%69%6d%69%74=0", "invalid_limit", "limit"),
        (b"limit=%35", None, None),
        (b"%6c%69%6d%69%74=5", None, None),
        (b"limit=5%00", "invalid_limit", "limit"),
        (b"limit=%EF%BC%95", "invalid_limit", "limit"),
        (b"limit=%ff", "invalid_limit", "limit"),
        (b"limit=" + b"9" * 50_000, "invalid_limit", "limit"),
        (b"offset=" + b"0" * 5_000, "invalid_offset", "offset"),
        (b"sort_order=asc&sort_order=desc", "invalid_sort", "sort_order"),
        (b"start_at=2026-05-01T00:00:00Z&start_at=2026-05-01T00:00:00Z", "invalid_query", "start_at"),
        (b"end_at=%00", "invalid_query", "end_at"),
        (b"LIMIT=5", "unsupported_filter", "LIMIT"),
        (b"limit%00=5", "unsupported_filter", None),
        (b"%ff=1", "unsupported_filter", None),
        (b"a%20b=1", "unsupported_filter", None),
        (b"<script>=1", "unsupported_filter", None),
        (b"limit%5B%5D=5", "unsupported_filter", None),
        (b"%0d%0aX-Injected=1", "unsupported_filter", None),
        (b"=", "unsupported_filter", None),
        (b"owners", "unsupported_filter", "owners"),
        (b"owners=", "unsupported_filter", "owners"),
        (b"x" * 50_000 + b"=1", "unsupported_filter", None),
        (b"&".join(b"q%d=1" % n for n in range(3000)), "unsupported_filter", "q0"),
        (b"", None, None),
        (b"&&", None, None),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
def test_a_query_is_read_as_it_was_meant_or_refused(
    live: Live, query: bytes, code: str | None, field: str | None
) -> None:
    answer = live.ask(LIST.path.encode() + b"?" + query)
    if code is None:
        assert answer.status == 200, answer.body
        return
    assert answer.code == code
    assert json.loads(answer.body)["field"] == field
    assert b"X-Injected" not in answer.body and "x-injected" not in answer.headers


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"HEAD", b"BREW"])
def test_other_methods_are_told_which_ones_there_are(live: Live, method: bytes) -> None:
    for route in ROUTES:
        target = route.url(live.visit.id, live.visit["transcript"])
        for body in (b"", b'{"a": 1}') if method not in (b"HEAD", b"TRACE", b"OPTIONS") else (b"",):
            answer = live.ask(target, b"Content-Type: application/json", method=method, body=body)
            if method == b"HEAD":
                assert answer.body == b"" and answer.status in (200, 405)
                continue
            assert (answer.status, answer.code) == (405, "method_not_allowed")
            assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "target",
    [
        "/external",
        "/external/",
        "/external/v1",
        "/external/v1/",
        "/external/v2/encounters",
        "/external/v1/encounter",
        "/external/v1/encounters/",
        "/external/v1/encounters//",
        "/external/v1/encounters//documents/x",
        "/external/v1//encounters",
        "//external/v1/encounters",
        "/external/v1/encounters/x/documents",
        "/external/v1/encounters/x/documents/",
        "/external/v1/encounters/x/documents//audio",
        "/external/v1/encounters/x/documents/y/",
        "/external/v1/encounters/x/documents/y/audio/",
        "/external/v1/encounters/x/documents/y/video",
        "/external/v1/encounters/x/documents/y/audio/z",
        "/external/v1/ENCOUNTERS",
        "/external/v1/encounters;v=1",
        "/external/v1/openapi.json",
        "/external/v1/../v1/encounters",
        "/external/%2e%2e/metrics",
        "/external/v1/encounters%00",
        "/external/v1/encounters%2F",
        "/external/v1/" + "a" * 10_000,
    ],
    ids=lambda target: target[:48],
)
def test_a_path_that_is_no_route_is_told_so(live: Live, target: str) -> None:
    for method in (b"GET", b"POST"):
        answer = live.ask(target, method=method)
        if target.startswith("//"):  # not below the API's path
            assert 400 <= answer.status < 500
            continue
        assert answer.status == 404 and answer.code in ("route_not_found", "encounter_not_found"), answer.body
    assert live.ask(target, key=False).status in (401, 404)


def test_requests_that_are_hardly_http_do_not_break_anything(live: Live) -> None:
    host, close = b"Host: osler", b"Connection: close"
    for head in (
        b"GET /external/v1/encounters/\xff\xfe HTTP/1.1",
        b"GET /external/v1/encounters/a b HTTP/1.1",
        b"GET /external/v1/encounters/\x00 HTTP/1.1",
        b"GET /external/v1/encounters HTTP/9.9",
        b"GET  /external/v1/encounters HTTP/1.1",
        b"/external/v1/encounters",
    ):
        answer = live.send(b"\r\n".join((head, host, close, b"", b"")))
        assert 400 <= answer.status < 500
        if head.startswith(b"GET"):
            assert set(json.loads(answer.body)) == FOUR_KEYS
    # It goes on with the next one.
    assert live.ask(LIST.path).status == 200


def test_a_body_that_nobody_asked_for_changes_nothing(live: Live) -> None:
    for body in (b"{}", b"limit=0", b"\x00" * 10_000):
        answer = live.ask(LIST.path, b"Content-Type: application/json", body=body)
        assert answer.status == 200


def test_headers_of_clients_do_not_change_who_asks_or_what(live: Live) -> None:
    for header in (
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Original-URL: /metrics",
        b"X-HTTP-Method-Override: DELETE",
        b"Accept: application/xml",
        b"Accept-Encoding: br;q=0, *;q=0",
        b"Origin: https://evil.example",
        b"Range: bytes=0-0",
        b"If-None-Match: " + b'"x",' * 5000,
        b"X-Request-Id: " + b"\xff" * 100,
        b"X-Request-Id: ../../etc/passwd",
    ):
        answer = live.ask(LIST.path, header)
        assert answer.status == 200, header[:30]
        assert "access-control-allow-origin" not in answer.headers
        assert "passwd" not in answer.headers["x-request-id"]


def test_the_url_of_a_recording_is_served_over_the_wire(live: Live) -> None:
    answer = live.ask(AUDIO.url(live.visit.id, live.visit["transcript"]))
    url = urllib.parse.urlsplit(json.loads(answer.body)["audio_url"])
    sound = live.ask(f"{url.path}?{url.query}", b"Range: bytes=0-43", key=False)
    assert sound.status == 206 and sound.body.startswith(b"RIFF") and len(sound.body) == 44
