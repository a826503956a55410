"""The one order of checks, on every route: with whatever faults at once, the answer is that of the first."""

import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import httpx
import pytest

from tests.contract.public.contract import CONTRACT, ROUTES, Route, success
from tests.contract.public.faults import (
    ORDER,
    Case,
    Produced,
    cases_of_one,
    cases_of_three,
    cases_of_two,
)
from tests.contract.public.lab import Lab, opened_lab, second_door
from tests.contract.public.records import (
    Records,
    apply,
    headers_of,
    is_without_digest_key,
    make_records,
    query_of,
)
from tests.servers.postgresql import PostgresqlServer

pytestmark = pytest.mark.anyio

by_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)


@dataclass
class Asker:
    """Asks what a case says, of a deployment that is as the case says."""

    lab: Lab
    records: Records
    without_digest_key: httpx.AsyncClient

    async def ask(self, case: Case) -> httpx.Response:
        http = self.without_digest_key if is_without_digest_key(case) else self.lab.http
        url = case.route.url(*self.records.ids(case)) + await query_of(case, self.lab, self.records)
        return await http.get(url, headers=await headers_of(case, self.lab, self.records))

    async def wrong(self, cases: Iterable[Case], produced: Produced | None = None) -> list[str]:
        """Return what was answered otherwise than the contract says; cases of one state of the deployment together."""
        found = []
        ordered = sorted(cases, key=lambda case: sorted(case.lacks))
        stands: frozenset[str] | None = None
        for case in ordered:
            await headers_of(case, self.lab, self.records)  # a key can be made only while the digest key is there
            if case.lacks != stands:
                await apply(case.lacks, case, self.lab, self.records)
                stands = case.lacks
            answer = await self.ask(case)
            status = case.route.status_of(case.first.code)
            try:
                body = answer.json()
            except ValueError:
                body = answer.text[:200]
            if (answer.status_code, body) != (status, case.expected):
                told = body.get("reason_code") if isinstance(body, dict) else body
                where = f" of {body.get('field')}" if isinstance(body, dict) and body.get("field") else ""
                found.append(f"{case}: {answer.status_code} {told}{where}, not {case.first.code} of {case.first.field}")
            elif produced is not None:
                produced.note(case.route, answer.status_code, body["reason_code"])
        if ordered:
            await apply(frozenset(), ordered[-1], self.lab, self.records)
        return found


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
async def asker(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Asker]:
    folder = tmp_path_factory.mktemp("order")
    url = None
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.create_database(f"order_{secrets.token_hex(6)}")
    async with opened_lab(folder, database=url) as lab:
        records = await make_records(lab)
        await lab.open_all()
        async with second_door(folder, database=url, digest_key_file=folder / "none.key") as without:
            yield Asker(lab, records, without)


def told(wrong: list[str]) -> str:
    return f"{len(wrong)} answered otherwise, such as\n" + "\n".join(wrong[:: max(1, len(wrong) // 40)])


def test_the_order_names_every_reason_code_of_the_contract_once() -> None:
    schema = CONTRACT["components"]["schemas"]["PublicApiErrorResponse"]
    assert len(set(ORDER)) == len(ORDER)
    assert set(ORDER) == set(schema["properties"]["reason_code"]["enum"])


@by_route
async def test_without_any_fault_the_route_answers(asker: Asker, route: Route) -> None:
    success(route, await asker.ask(Case(route, ())))


@by_route
async def test_every_fault_is_answered_by_its_code_message_and_field_and_no_code_is_left_out(
    asker: Asker, route: Route
) -> None:
    produced = Produced()
    wrong = await asker.wrong(cases_of_one(route), produced)
    assert not wrong, told(wrong)
    assert produced.of(route) == route.codes


@by_route
async def test_of_any_two_faults_the_earlier_is_answered(asker: Asker, route: Route) -> None:
    cases = list(cases_of_two(route))
    assert len(cases) > 200
    wrong = await asker.wrong(cases)
    assert not wrong, told(wrong)


@by_route
async def test_of_several_faults_the_earliest_is_answered(asker: Asker, route: Route) -> None:
    wrong = await asker.wrong(cases_of_three(route, 100, seed=7))
    assert not wrong, told(wrong)
