"""The rate of a key: beyond it 429 with the headers that say when to come back, for that key alone."""

from pathlib import Path

import httpx
import pytest

from tests.contract.public.contract import FOUR_KEYS, LIST, refused, success
from tests.contract.public.lab import Lab, opened_lab

pytestmark = pytest.mark.anyio

LIMIT = 5


async def until_refused(lab: Lab, key: str, most: int = 3 * LIMIT) -> tuple[int, httpx.Response]:
    """Ask until it is too often; return how many were answered, and the refusal."""
    for count in range(most):
        answer = await lab.get(LIST.path, key)
        if answer.status_code == 429:
            return count, answer
        success(LIST, answer)
    raise AssertionError("nothing was refused")


async def test_too_many_requests_of_one_key_are_told_when_to_come_back(tmp_path: Path) -> None:
    async with opened_lab(tmp_path, public_requests_per_minute=LIMIT) as lab:
        await lab.open_all()
        clinic = await lab.clinic()
        _, one = await lab.make_key(clinic)
        _, other = await lab.make_key(clinic)
        count, answer = await until_refused(lab, one)
        assert LIMIT <= count <= LIMIT + 1
        assert refused(answer) == "rate_limited" and set(answer.json()) == FOUR_KEYS
        assert answer.json()["error"] == "public_api_rate_limited" and answer.json()["field"] is None
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert any(name.lower().startswith("ratelimit") for name in answer.headers)
        # Whoever is not that key is not concerned, and a key that is none is told so first.
        success(LIST, await lab.get(LIST.path, other))
        assert refused(await lab.get(LIST.path, None)) == "missing_bearer"
        assert refused(await lab.get(LIST.path, "ch_sk_" + "x" * 43)) == "invalid_key"


async def test_an_answer_says_how_much_is_left(tmp_path: Path) -> None:
    async with opened_lab(tmp_path, public_requests_per_minute=LIMIT) as lab:
        await lab.open_all()
        clinic = await lab.clinic()
        answer = await lab.get(LIST.path, (await lab.make_key(clinic))[1])
        success(LIST, answer)
        assert any(name.lower().startswith("ratelimit") for name in answer.headers)


async def test_without_a_limit_nothing_is_refused(lab: Lab) -> None:
    key = await lab.key(await lab.clinic())
    for _ in range(30):
        success(LIST, await lab.get(LIST.path, key))
