"""A client that is generated from the YAML when the tests run: a method for each operation, every answer validated."""

import functools
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator, FormatChecker

DESCRIPTION: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "scribe-api.v2.openapi.yaml").read_text())

LINES = "application/x-ndjson"


class NotAsDescribedError(AssertionError):
    """An answer that the YAML does not describe."""


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and operation of everything in the YAML."""
    for path, item in DESCRIPTION["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def resolved(node: Any) -> Any:
    """Return a node of the YAML with its references replaced by what they refer to."""
    if isinstance(node, list):
        return [resolved(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target: Any = DESCRIPTION
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return resolved(target)
    return {name: resolved(child) for name, child in node.items()}


def whole(schema: Mapping[str, Any], but: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a schema that demands every property that it names, at every depth; those in ``but`` may be left out."""
    strict = {name: _whole(child, but) for name, child in schema.items()}
    if "properties" in strict:
        strict["required"] = sorted(set(strict["properties"]) - but)
    return strict


def _whole(node: Any, but: frozenset[str]) -> Any:
    if isinstance(node, list):
        return [_whole(each, but) for each in node]
    return whole(node, but) if isinstance(node, dict) else node


class YamlClient:
    """``client.createSession(json={...})``: sends what the operation says, and refuses other answers than it says."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.answers: list[tuple[str, Any]] = []
        for method, path, operation in operations():
            setattr(self, operation["operationId"], functools.partial(self._call, method, path, resolved(operation)))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the YAML has no operation {name}")

    def _call(self, method: str, path: str, operation: Mapping[str, Any], /, **given: Any) -> Any:
        query: dict[str, Any] = {}
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            if name not in given:
                assert not parameter.get("required"), f"{operation['operationId']} needs {name}"
                continue
            value = given.pop(name)
            Draft202012Validator(parameter["schema"], format_checker=FormatChecker()).validate(value)
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", urllib.parse.quote(value, safe=""))
            else:
                query[name] = value
        if "json" in given:
            Draft202012Validator(operation["requestBody"]["content"]["application/json"]["schema"]).validate(
                given["json"]
            )
        answer = self.http.request(method.upper(), path, params=query, **given)
        return self._read(operation, answer)

    def _read(self, operation: Mapping[str, Any], answer: httpx.Response) -> Any:
        name = operation["operationId"]
        described = operation["responses"].get(str(answer.status_code))
        if described is None:
            raise NotAsDescribedError(f"{name} answered {answer.status_code}: {answer.text}")
        if "content" not in described:
            return answer.json() if answer.content else None
        media_type = answer.headers["content-type"].partition(";")[0]
        if media_type not in described["content"]:
            raise NotAsDescribedError(f"{name} answered in {media_type}")
        # A stream has an object of the schema on each of its lines.
        lines = [json.loads(line) for line in answer.text.splitlines()] if media_type == LINES else None
        value = answer.json() if lines is None else lines
        schema = described["content"][media_type]["schema"]
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        errors = [error for each in ([value] if lines is None else lines) for error in validator.iter_errors(each)]
        if errors:
            raise NotAsDescribedError(f"{name}: {errors[0].json_path}: {errors[0].message}")
        self.answers.append((name, value))
        return value
