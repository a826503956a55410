"""Nothing is public until someone switched it on, each thing by itself; what is switched off is off at once."""

from pathlib import Path

import pytest

from osler.access.public import PublicRoute
from osler.audit.model import OPERATOR
from tests.contract.public.contract import LIST, ROUTES, Route, refused, success
from tests.contract.public.lab import Lab, opened_lab

pytestmark = pytest.mark.anyio


async def test_each_thing_has_to_be_switched_on(tmp_path: Path) -> None:
    async with opened_lab(tmp_path) as lab:
        switches = lab.core.public.access
        clinic = await lab.clinic(allowed=False)
        visit = await clinic.heard()
        key = await lab.key(clinic)
        urls = {route: route.url(visit.id, visit["transcript"]) for route in ROUTES}

        async def codes() -> set[str]:
            return {refused(await lab.get(url, key)) for url in urls.values()}

        assert await codes() == {"api_keys_disabled"}
        await switches.switch_api(OPERATOR, True)
        assert await codes() == {"route_not_allowed"}
        for each in PublicRoute:
            await switches.switch_route(OPERATOR, each, True)
        assert await codes() == {"organization_not_allowlisted"}
        await lab.core.access.update_organization(OPERATOR, clinic.organization.id, public_api=True)
        for route, url in urls.items():
            success(route, await lab.get(url, key))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)
async def test_a_route_that_is_switched_off_is_off_alone(lab: Lab, route: Route) -> None:
    clinic = await lab.clinic()
    visit, key = await clinic.heard(), await lab.key(clinic)
    switches = lab.core.public.access
    await switches.switch_route(OPERATOR, PublicRoute(route.id), False)
    try:
        for each in ROUTES:
            answer = await lab.get(each.url(visit.id, visit["transcript"]), key)
            if each is route:
                assert (answer.status_code, refused(answer)) == (403, "route_not_allowed")
            else:
                success(each, answer)
    finally:
        await switches.switch_route(OPERATOR, PublicRoute(route.id), True)


async def test_a_key_that_is_disabled_or_revoked_stops_and_one_that_is_enabled_again_works(lab: Lab) -> None:
    clinic = await lab.clinic()
    key, text = await lab.make_key(clinic)
    success(LIST, await lab.get(LIST.path, text))
    await lab.core.access.disable_key(OPERATOR, key.id)
    assert refused(await lab.get(LIST.path, text)) == "disabled_key"
    await lab.core.access.enable_key(OPERATOR, key.id)
    success(LIST, await lab.get(LIST.path, text))
    await lab.core.access.revoke_key(OPERATOR, key.id)
    assert refused(await lab.get(LIST.path, text)) == "revoked_key"


async def test_a_test_key_opens_a_test_environment_as_any_other_key_would(tmp_path: Path) -> None:
    async with opened_lab(tmp_path, public_test_keys=True) as lab:
        await lab.open_all()
        clinic = await lab.clinic()
        success(LIST, await lab.get(LIST.path, await lab.key(clinic, {"test"})))
        assert refused(await lab.get(LIST.path, await lab.key(clinic, {"test", "unknown"}))) == "invalid_key"
        assert refused(await lab.get(LIST.path, await lab.key(clinic, {"test", "expired"}))) == "expired_key"
        assert refused(await lab.get(LIST.path, "ch_sk_test_tooshort")) == "malformed_token"


async def test_a_key_of_the_scribe_api_opens_nothing_here_nor_the_other_way_round(lab: Lab) -> None:
    clinic = await lab.clinic()
    assert refused(await lab.get(LIST.path, clinic.clinician.token)) == "malformed_token"
    text = await lab.key(clinic)
    answer = await lab.scribe.get("/jwt", params={"email": "a@b.example", "third_party_internal_id": "1"},
                                  headers={"Heidi-Api-Key": text})  # fmt: skip
    assert answer.status_code in (401, 403)
    assert (await lab.scribe.get("/sessions/1", headers={"Authorization": f"Bearer {text}"})).status_code in (401, 403)
