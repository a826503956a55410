"""The public contract as a file: its routes, what each may answer, and the schemas of the answers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parents[1] / "public-api.v1.openapi.json").read_text())

FOUR_KEYS = {"error", "reason_code", "message", "field"}

CATEGORIES = {
    400: "public_api_bad_request",
    401: "api_key_unauthorized",
    403: "api_key_forbidden",
    404: "public_api_not_found",
    422: "api_key_validation_failed",
    503: "public_api_unavailable",
}

ADDITIONS = {
    (429, "public_api_rate_limited", "rate_limited"),
    (404, "public_api_not_found", "route_not_found"),
    (405, "public_api_bad_request", "method_not_allowed"),
}
"""The errors of our own, by the prose's table: status, ``error`` and ``reason_code``."""


@dataclass(frozen=True, eq=False)
class Route:
    """One operation of the contract."""

    id: str
    path: str
    operation: Mapping[str, Any]

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.operation["x-charthero-required-scopes"])

    @property
    def query_names(self) -> tuple[str, ...]:
        """The names of its query, in the schema's order."""
        return tuple(p["name"] for p in self.operation["parameters"] if p["in"] == "query")

    @property
    def path_names(self) -> tuple[str, ...]:
        return tuple(p["name"] for p in self.operation["parameters"] if p["in"] == "path")

    @property
    def codes(self) -> dict[int, frozenset[str]]:
        """The reason codes that it may answer, by status."""
        return {
            int(status): frozenset(response["x-charthero-reason-codes"])
            for status, response in self.operation["responses"].items()
            if "x-charthero-reason-codes" in response
        }

    def status_of(self, code: str) -> int:
        (status,) = [status for status, codes in self.codes.items() if code in codes]
        return status

    def example(self, code: str) -> dict[str, Any]:
        """The body of the contract's example for a reason code."""
        content = self.operation["responses"][str(self.status_of(code))]["content"]["application/json"]
        body: dict[str, Any] = content["examples"][code]["value"]
        return body

    def url(self, encounter_id: str = "", document_id: str = "") -> str:
        return self.path.replace("{encounter_id}", encounter_id).replace("{document_id}", document_id)


ROUTES = tuple(
    Route(operation["operationId"], path, operation)
    for path, item in CONTRACT["paths"].items()
    for method, operation in item.items()
    if method == "get"
)
BY_ID = {route.id: route for route in ROUTES}

LIST = BY_ID["listPublicEncounters"]
ENCOUNTER = BY_ID["getPublicEncounter"]
DOCUMENT = BY_ID["getPublicDocument"]
TRANSCRIPT = BY_ID["getPublicDocumentTranscript"]
AUDIO = BY_ID["getPublicDocumentAudioUrl"]


@cache
def _validator(schema_ref: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": schema_ref, "components": CONTRACT["components"]})


def faults_of_success(route: Route, body: Any) -> Iterator[str]:
    """Yield what is wrong with the body of a 200, by the contract's schema; times must be RFC 3339 with a zone."""
    schema = route.operation["responses"]["200"]["content"]["application/json"]["schema"]
    for error in _validator(schema["$ref"]).iter_errors(body):
        yield f"{error.json_path}: {error.validator}"
    yield from _times(body)


def _times(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _times(child)
    if not isinstance(node, dict):
        return
    for name, child in node.items():
        if (name.endswith("_at") or name == "date_of_service") and child is not None:
            if datetime.fromisoformat(child).tzinfo is None:
                yield f"{name} has no time zone"
        elif name == "date_of_birth" and child is not None:
            date.fromisoformat(child)
        yield from _times(child)


def success(route: Route, answer: httpx.Response) -> dict[str, Any]:
    """Make sure that an answer is the route's success, valid by the contract; return its body."""
    assert answer.status_code == 200, f"{route.id}: {answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    body: dict[str, Any] = answer.json()
    assert list(faults_of_success(route, body)) == [], route.id
    return body


def refusal(status: int, content_type: str, body: Any) -> str:
    """Make sure that an answer is an error of the contract's form, whichever it is; return its reason code."""
    assert content_type.partition(";")[0] == "application/json"
    assert isinstance(body, dict) and set(body) == FOUR_KEYS, body
    assert body["field"] is None or isinstance(body["field"], str)
    code: str = body["reason_code"]
    known = {(s, CATEGORIES[s], c) for route in ROUTES for s, codes in route.codes.items() for c in codes}
    assert (status, body["error"], code) in known | ADDITIONS, (status, body)
    if (status, body["error"], code) not in ADDITIONS:
        (route, *_) = [route for route in ROUTES if code in route.codes.get(status, ())]
        assert body["message"] == route.example(code)["message"]
    else:
        assert isinstance(body["message"], str) and body["message"]
    return code


def refused(answer: httpx.Response) -> str:
    """As :func:`refusal`."""
    return refusal(answer.status_code, answer.headers.get("content-type", ""), answer.json())
