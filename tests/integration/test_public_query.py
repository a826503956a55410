"""Queries at the public door: canonical parameters in the schema's order, bounds to the last digit, strange filters."""

import pytest

from osler.access.public import PublicRoute
from tests.public_lab import (
    ENCOUNTERS,
    House,
    public_house,  # noqa: F401  (a fixture)
)
from tests.scribe_practice import NOBODYS_SESSION

pytestmark = pytest.mark.anyio


@pytest.fixture
def house(public_house: House) -> House:  # noqa: F811
    return public_house


@pytest.mark.parametrize("text", ["", "0", "101", "01", "+5", "-5", "5.0", "5e1", " 5", "5%20", "%D9%A5", "5%00", "1_0",
                                  "9" * 5000, "5;offset=1", "%", "true"])  # fmt: skip
async def test_a_limit_is_canonical_and_in_its_range(house: House, text: str) -> None:
    (await house.client.get(ENCOUNTERS, f"limit={text}")).refused(422, "invalid_limit", "limit")


@pytest.mark.parametrize("text", ["", "10001", "-1", "00", "1e3", "%20", "\xb2"])
async def test_an_offset_is_canonical_and_in_its_range(house: House, text: str) -> None:
    (await house.client.get(ENCOUNTERS, f"offset={text}".encode())).refused(422, "invalid_offset", "offset")


@pytest.mark.parametrize("text", ["", "DESC", "newest", "asc%20", "asc,desc"])
async def test_the_order_is_one_of_two_words(house: House, text: str) -> None:
    (await house.client.get(ENCOUNTERS, f"sort_order={text}")).refused(422, "invalid_sort", "sort_order")


@pytest.mark.parametrize("name", ["start_at", "end_at"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-01",
        "2026-05-01T00:00:00",
        "2026-05-01T00:00:00.5",
        "2026-05-01T00:00Z",
        "2026-05-01%2000:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T12:00:60Z",
        "2026-05-01T00:00:00+24:00",
        "2026-05-01T00:00:00+0200",
        "20260501T000000Z",
        "1777593600",
        "now",
        "0000-05-01T00:00:00Z",
        "%D9%A2026-05-01T00:00:00Z",
    ],
)
async def test_a_bound_is_a_time_with_its_zone(house: House, name: str, text: str) -> None:
    (await house.client.get(ENCOUNTERS, f"{name}={text}")).refused(422, "invalid_query", name)


@pytest.mark.parametrize(
    "text",
    [
        "2000-01-01T00:00:00Z",
        "2000-01-01t00:00:00z",
        "2000-01-01T00:00:00.123456789Z",
        "2000-01-01T00:00:00%2B02:00",
        "2000-01-01T00:00:00+02:00",
        "2000-01-01T00:00:00-00:00",
        "1998-12-31T23:59:60Z",
        "1999-01-01T01:59:60%2B02:00",
        "0001-01-01T00:00:00%2B10:00",
    ],
)
async def test_every_time_of_rfc_3339_is_a_bound(house: House, text: str) -> None:
    assert (await house.client.get(ENCOUNTERS, f"start_at={text}")).ok()["total"] == 1
    assert (await house.client.get(ENCOUNTERS, f"end_at={text}")).ok()["total"] == 0
    assert (await house.client.get(ENCOUNTERS, "end_at=9999-12-31T23:59:59.9999999-10:00")).ok()["total"] == 1


async def test_the_lower_bound_is_in_and_the_upper_is_out_to_the_last_digit(house: House) -> None:
    (item,) = (await house.client.get(ENCOUNTERS)).ok()["items"]
    created = item["created_at"].removesuffix("Z")
    if "." not in created:
        created += ".000000"

    async def found(query: str) -> int:
        total: int = (await house.client.get(ENCOUNTERS, query)).ok()["total"]
        return total

    assert await found(f"start_at={created}Z") == 1
    assert await found(f"start_at={created}1Z") == 0
    assert await found(f"end_at={created}Z") == 0
    assert await found(f"end_at={created}1Z") == 1
    assert await found(f"start_at={created}Z&end_at={created}1Z") == 1
    for end in (created, created + "00"):
        (await house.client.get(ENCOUNTERS, f"start_at={created}Z&end_at={end}Z")).refused(
            422, "invalid_query", "start_at"
        )


async def test_a_repeated_parameter_is_refused_however_its_name_is_written(house: House) -> None:
    for query, code, field in (
        ("limit=5&limit=5", "invalid_limit", "limit"),
        ("limit=5&%6cimit=5", "invalid_limit", "limit"),
        ("offset=0&offset", "invalid_offset", "offset"),
        ("sort_order=asc&sort%5Forder=asc", "invalid_sort", "sort_order"),
        ("end_at=2026-05-01T00:00:00Z&end_at=2026-05-01T00:00:00Z", "invalid_query", "end_at"),
    ):
        (await house.client.get(ENCOUNTERS, query)).refused(422, code, field)
    page = (await house.client.get(ENCOUNTERS, "%6Cimit=7&&offset=0&")).ok()
    assert (page["limit"], page["offset"]) == (7, 0)


async def test_parameters_are_read_in_the_schemas_order_and_strangers_last(house: House) -> None:
    wrong = ["owners=1", "end_at=x", "start_at=x", "sort_order=x", "offset=x", "limit=x"]
    for said in ("invalid_limit", "invalid_offset", "invalid_sort", "invalid_query", "invalid_query"):
        answer = await house.client.get(ENCOUNTERS, "&".join(wrong))
        answer.refused(422, said, wrong[-1].partition("=")[0])
        wrong.pop()
    (await house.client.get(ENCOUNTERS, "owners=1")).refused(400, "unsupported_filter", "owners")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("a" * 64, "a" * 64),
        ("a" * 65, None),
        ("A.b-c_9=1", "A.b-c_9"),
        ("Limit=5", "Limit"),
        ("=5", None),
        ("=", None),
        ("a%20b=1", None),
        ("a+b=1", None),
        ("%C3%BC=1", None),
        ("\xff=1", None),
        ("%FF=1", None),
        ("%00", None),
        ("a%0A", None),
        ("limit;x=5", None),
        ("x%2", None),
        ("<script>", None),
    ],
)
async def test_a_filter_that_there_is_not_is_named_only_if_its_name_is_harmless(
    house: House, query: str, field: str | None
) -> None:
    raw = query.encode("latin-1")
    (await house.client.get(ENCOUNTERS, raw)).refused(400, "unsupported_filter", field)
    (await house.client.get(house.path(PublicRoute.ENCOUNTER), raw)).refused(400, "unsupported_filter", field)


@pytest.mark.parametrize("route", [route for route in PublicRoute if route is not PublicRoute.LIST_ENCOUNTERS])
async def test_other_routes_take_no_parameter_and_say_so_before_they_look_anything_up(
    house: House, route: PublicRoute
) -> None:
    (await house.client.get(house.path(route, NOBODYS_SESSION), "limit=x")).refused(400, "unsupported_filter", "limit")
    (await house.client.get(house.path(route), "&")).ok()
