"""The description that is served: valid, in our own words, and everything that the YAML has is in it."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contract.live import BASE_PATH, PATIENCE, Deployment
from tests.contract.yaml_client import DESCRIPTION, resolved

LATER: frozenset[str] = frozenset()
"""Operations of the YAML that are not served yet. One that is served must be taken out of this list."""

METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def served(deployment: Deployment) -> dict[str, Any]:
    answer = httpx.get(f"{deployment.server.url}/openapi/v2/openapi.json", timeout=PATIENCE)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def texts(node: Any) -> Iterator[str]:
    """Yield what people read: titles, summaries, descriptions."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name in ("title", "summary", "description") and isinstance(child, str):
                yield child
            yield from texts(child)
    elif isinstance(node, list):
        for child in node:
            yield from texts(child)


def opened(document: Mapping[str, Any], node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def properties(document: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    """Return the properties of a schema with those of its parts; of a choice, those of all."""
    schema = opened(document, schema)
    found = dict(schema.get("properties", {}))
    for combiner in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(combiner, ()):
            found.update(properties(document, part))
    return found


def test_the_description_is_valid_openapi_3_1(served: dict[str, Any]) -> None:
    assert served["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(served).iter_errors()] == []
    assert served["servers"][0]["url"] == BASE_PATH


def test_it_has_every_operation_of_the_yaml_under_its_name(served: dict[str, Any]) -> None:
    ours = {operation["operationId"]: (path, method) for path, method, operation in operations(served)}
    theirs = {operation["operationId"]: (path, method) for path, method, operation in operations(DESCRIPTION)}
    assert theirs.keys() >= LATER and not LATER & ours.keys()
    assert {name: ours.get(name) for name in theirs.keys() - LATER} == {
        name: place for name, place in theirs.items() if name not in LATER
    }


def test_every_operation_is_named_and_described_once(served: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(served)]
    assert len(set(ids)) == len(ids)
    for _, _, operation in operations(served):
        assert operation["summary"] and operation["description"] and operation["tags"]


def test_it_has_every_parameter_and_key_of_the_yaml(served: dict[str, Any]) -> None:
    theirs = {operation["operationId"]: operation for _, _, operation in operations(DESCRIPTION)}
    for _, _, operation in operations(served):
        their = resolved(theirs.get(operation["operationId"], {}))
        ours = {(p["in"], p["name"]) for p in operation.get("parameters", ())}
        assert {(p["in"], p["name"]) for p in their.get("parameters", ())} <= ours
        for media_type, content in their.get("requestBody", {}).get("content", {}).items():
            shape = operation["requestBody"]["content"][media_type]["schema"]
            missing = properties(DESCRIPTION, content["schema"]).keys() - properties(served, shape).keys()
            assert not missing, f"{operation['operationId']} lacks {missing} in its body"
        for status, response in their.get("responses", {}).items():
            for media_type, content in response.get("content", {}).items():
                shape = operation["responses"][status]["content"][media_type]["schema"]
                missing = properties(DESCRIPTION, content["schema"]).keys() - properties(served, shape).keys()
                assert not missing, f"{operation['operationId']} lacks {missing} in its answer"


def test_every_error_has_the_contracts_form(served: dict[str, Any]) -> None:
    for _, _, operation in operations(served):
        assert {"401", "422", "500", "503"} <= operation["responses"].keys()
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_it_is_in_our_own_words(served: dict[str, Any]) -> None:
    theirs = {text.strip() for text in texts(DESCRIPTION) if len(text.split()) > 2}
    assert not theirs & {text.strip() for text in texts(served)}
    # Names of headers, errors and operations are the contract's to the letter; what people read is not theirs.
    assert not [text for text in texts(served) if "heidi" in text.lower() and "Heidi-Api-Key" not in text]


def test_what_neither_description_has_is_marked(served: dict[str, Any]) -> None:
    theirs = {operation["operationId"] for _, _, operation in operations(DESCRIPTION)}
    prose = {
        "linkAccount",
        "unlinkAccount",
        "getLinkedAccountAccess",
        "listConsultNoteTemplates",
        "beginRecording",
        "transcribeSegment",
        "finishRecording",
        "getLiveSessionTranscriptUnderOpenApi",
    }
    for _, _, operation in operations(served):
        assert operation.get("x-osler") is True or operation["operationId"] in theirs | prose
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "Idempotency-Key":
                assert parameter["x-osler"] is True
