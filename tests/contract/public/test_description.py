"""The description that is served: the contract's, key by key, in our own words, with our additions marked."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contract.public.contract import CONTRACT
from tests.contract.public.lab import Lab

pytestmark = pytest.mark.anyio

OURS = "x-osler"
WORDS = ("description", "summary", "title")
"""What people read. Elsewhere these can be names of fields, and are no texts then."""

CLIENTS_WORDS = re.compile(r"`[^`]*`|/external/v1\S*|[\w.-]*charthero[\w.-]*", re.IGNORECASE)


@pytest.fixture
async def served(lab: Lab) -> dict[str, Any]:
    answer = await lab.http.get("/openapi/v1/openapi.json")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def without_additions(node: Any) -> Any:
    """Return a node without what is marked as ours, and without what then is empty."""
    if isinstance(node, list):
        return [without_additions(child) for child in node if not _is_ours(child)]
    if not isinstance(node, dict):
        return node
    left = {name: without_additions(child) for name, child in node.items() if not _is_ours(child)}
    return {
        name: child for name, child in left.items() if child not in ({}, []) or node[name] in ({}, [])
    }  # fmt: skip


def _is_ours(node: Any) -> bool:
    return isinstance(node, dict) and node.get(OURS) is True


def differences(theirs: Any, ours: Any, at: str = "") -> Iterator[str]:
    """Yield where two descriptions differ, texts aside."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            here = f"{at}/{name}"
            if name not in ours:
                yield f"{here} is missing"
            elif name not in theirs:
                yield f"{here} is not the contract's"
            elif name in WORDS and isinstance(theirs[name], str):
                if not (isinstance(ours[name], str) and ours[name].strip()):
                    yield f"{here} says nothing"
            else:
                yield from differences(theirs[name], ours[name], here)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{at} has {len(ours)} items, not {len(theirs)}"
        for index, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from differences(one, other, f"{at}/{index}")
    elif type(theirs) is not type(ours) and not _numbers(theirs, ours):
        yield f"{at} is of another type"
    elif theirs != ours and not _may_differ(at, theirs):
        yield f"{at} is {ours!r}, not {theirs!r}"


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _may_differ(at: str, theirs: Any) -> bool:
    """Say whether a value is ours to choose: what an example of success shows, and sentences of an extension."""
    shows = re.search(r"/responses/200/.*/value/|/parameters/\d+/example$", at) is not None
    code = re.search(r"/(schema_type|workflow_variant|encounter_type|format)$", at) is not None
    sentence = "/x-charthero-" in at and isinstance(theirs, str) and len(theirs.split()) >= 4
    return (shows and not code) or (sentence and "signature-example" not in at and "raw_request_body" not in at)


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            if name in ("description", "summary") and isinstance(child, str):
                yield child
            yield from texts(child)
    elif isinstance(node, list):
        for child in node:
            yield from texts(child)


async def test_it_is_a_valid_description(served: dict[str, Any]) -> None:
    assert served["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(served).iter_errors()] == []


async def test_it_is_the_contracts_key_by_key(served: dict[str, Any]) -> None:
    found = list(differences(CONTRACT, without_additions(served)))
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:40])


async def test_lists_stand_in_the_contracts_order_of_parameters(served: dict[str, Any]) -> None:
    for path, item in CONTRACT["paths"].items():
        names = [p["name"] for p in item["get"].get("parameters", ())]
        ours = [p["name"] for p in without_additions(served["paths"][path]["get"].get("parameters", []))]
        assert ours == names


async def test_every_schema_of_ours_closes_where_the_contracts_does(served: dict[str, Any]) -> None:
    for name, schema in CONTRACT["components"]["schemas"].items():
        assert served["components"]["schemas"][name].get("additionalProperties") == schema.get("additionalProperties")


async def test_the_additions_are_those_of_the_contracts_table_and_no_others(served: dict[str, Any]) -> None:
    for path, item in CONTRACT["paths"].items():
        ours = served["paths"][path]["get"]["responses"]
        added = ours.keys() - item["get"]["responses"].keys()
        texts = path.endswith(("{document_id}", "/transcript"))
        assert added <= {"429", "404", "405"} | ({"304"} if texts else set()), path
        assert {"429"} | ({"304"} if texts else set()) <= added
        for status in added:
            assert ours[status][OURS] is True
        assert "Retry-After" in ours["429"]["headers"]


async def test_it_is_in_our_own_words(served: dict[str, Any]) -> None:
    theirs = {text.strip() for text in texts(CONTRACT) if len(text.split()) > 3}
    assert not theirs & {text.strip() for text in texts(served)}
    assert served["info"]["title"] != CONTRACT["info"]["title"]
    # Names of headers and extensions are the contract's to the letter; what people read speaks of nobody else.
    assert not [text for text in texts(served) if "charthero" in CLIENTS_WORDS.sub("", text).lower()]


async def test_it_can_be_read_without_a_key_and_by_who_has_one_already(lab: Lab) -> None:
    first = await lab.http.get("/openapi/v1/openapi.json")
    assert first.status_code == 200
    head = await lab.http.head("/openapi/v1/openapi.json")
    assert head.status_code in (200, 405) and head.content == b""


def test_the_comparison_finds_what_differs() -> None:
    """The test itself can fail: each change of the contract is a difference."""
    theirs = {"a": {"enum": ["x", "y"], "description": "Some words."}, "b": [1, {"c": True}]}
    same = {"a": {"enum": ["x", "y"], "description": "Others."}, "b": [1, {"c": True}], "z": {OURS: True, "q": 1}}
    assert list(differences(theirs, without_additions(same))) == []
    for wrong in (
        {**theirs, "b": [1, {"c": False}]},
        {**theirs, "b": [1]},
        {**theirs, "q": 1},
        {"b": theirs["b"]},
        {**theirs, "a": {"enum": ["x", "z"], "description": "Some words."}},
        {**theirs, "a": {"enum": ["x", "y"], "description": " "}},
    ):
        assert len(list(differences(theirs, without_additions(wrong)))) == 1
