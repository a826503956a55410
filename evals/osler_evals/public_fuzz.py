"""Requests to the public API made up from its description, good ones and bad ones, and whether the answers are as said.

``python -m osler_evals.public_fuzz --cases 2000``; half of them are made up from the description that the server
serves, half from another one of the same API (``--contract``), by which its answers are judged too.
"""

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from jsonschema import Draft202012Validator
from schemathesis.generation import GenerationMode

from osler.config import Settings
from osler_evals.served import BASE_PATH, osler, port_of, running

CONTRACT: Final = Path("tests/contract/public-api.v1.openapi.json")
VISIT: Final = Path("examples/sample-visit/visit.ogg")
RESULTS: Final = Path("evals/results/public-fuzz.json")
PATIENCE: Final = 300.0

ADDITIONS: Final = frozenset({"rate_limited", "route_not_found", "method_not_allowed"})
"""Reason codes that the contract allows beside its own."""

REVALIDATED: Final = (
    "/external/v1/encounters/{encounter_id}/documents/{document_id}",
    "/external/v1/encounters/{encounter_id}/documents/{document_id}/transcript",
)
"""Routes that may answer 304."""

OTHER_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD")
WRONG_KEYS: Final = (
    None, "Basic eDp5", "Bearer", "Bearer nonsense", "Bearer ch_sk_short", "Bearer ch_sk_" + "a" * 43,
    "Bearer ch_sk_test_" + "a" * 43, "bearer\tx", "Bearer ch_sk_\xe4\xf6\xfc",
)  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A served deployment: its root, a key with every scope, an encounter and its documents, and one of others'."""

    root: str
    key: str
    encounter_id: str
    document_ids: tuple[str, ...]
    foreign_id: str


@dataclass
class Outcome:
    """What came of it. A finding is the route, and what was wrong with the answer; never what was sent."""

    cases: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    by_route: Counter[str] = field(default_factory=Counter)
    server_errors: Counter[str] = field(default_factory=Counter)
    not_described: Counter[str] = field(default_factory=Counter)
    """Status, media type, reason code or body that the description does not have."""
    not_sent: int = 0
    """Cases that no HTTP client can send: they are not counted as cases."""

    @property
    def clean(self) -> bool:
        """Whether every answer was as described."""
        return not (self.server_errors or self.not_described)

    def lines(self) -> Iterator[str]:
        """Yield the outcome as lines of text."""
        yield f"{self.cases} cases over {len(self.by_route)} routes ({self.not_sent} could not be sent)"
        yield "answers: " + ", ".join(f"{status} × {count}" for status, count in sorted(self.by_status.items()))
        yield "reasons: " + ", ".join(f"{code} × {count}" for code, count in sorted(self.by_reason.items()))
        for name, found in (("server errors", self.server_errors), ("not as described", self.not_described)):
            yield f"{name}: {found.total()}"
            yield from (f"  {finding} × {count}" for finding, count in found.most_common(20))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "cases": self.cases,
            "not_sent": self.not_sent,
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "by_reason": dict(sorted(self.by_reason.items())),
            "by_route": dict(sorted(self.by_route.items())),
            "server_errors": dict(self.server_errors),
            "not_described": dict(self.not_described),
        }


def fuzz(where: Opened, cases: int, *, contract: Mapping[str, Any], seeded: int = 0) -> Outcome:
    """Send about ``cases`` requests, half of them made up from the served description, half from ``contract``.

    Each route gets as many as any other, half of them against its description. Of what is sent some carries no good
    key, an unknown filter, or another method. What is sent depends on ``seeded`` alone. Every answer is judged by the
    description that its request was made up from, and by ``contract``.
    """
    served = httpx.get(f"{where.root}/openapi/v1/openapi.json", timeout=PATIENCE).json()
    outcome = Outcome()
    with requests.Session() as session:
        for number, document in enumerate((served, contract)):
            # What a server may answer to what the contract does not speak of stands in the served description alone.
            judges = (_Judge(document, outcome), _Judge(contract, outcome))[: 2 if document is served else 1]
            routes = [path for path, item in document["paths"].items() if "get" in item]
            each = -(-cases // (4 * len(routes)))
            description = schemathesis.openapi.from_dict(dict(document))
            for place, path in enumerate(routes):
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    _fuzz_route(
                        where, session, description[path]["GET"], mode, each, seeded * 1000 + number * 100 + place,
                        judges, outcome,
                    )  # fmt: skip
    return outcome


def _fuzz_route(
    where: Opened,
    session: requests.Session,
    operation: Any,
    mode: GenerationMode,
    cases: int,
    seeded: int,
    judges: "tuple[_Judge, ...]",
    outcome: Outcome,
) -> None:
    chance = random.Random(seeded)

    @seed(seeded)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if chance.random() < 0.6:
            case.path_parameters = {**(case.path_parameters or {}), **_there(case.path_parameters, where, chance)}
        if chance.random() < 0.15:
            case.query = {**(case.query or {}), chance.choice(("owners", "Limit", "näme", "x" * 70, "a b")): "1"}
        key = chance.choice(WRONG_KEYS) if chance.random() < 0.15 else f"Bearer {where.key}"
        other = chance.choice(OTHER_METHODS) if chance.random() < 0.05 else None
        try:
            prepared = requests.Request(**case.as_transport_kwargs(base_url=where.root)).prepare()
            prepared.headers.pop("Authorization", None)
            if key is not None:
                prepared.headers["Authorization"] = key
            prepared.method = other or prepared.method
            answer = session.send(prepared, timeout=PATIENCE, allow_redirects=False)
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError, ValueError):
            outcome.not_sent += 1
            return
        outcome.cases += 1
        outcome.by_route[operation.path] += 1
        outcome.by_status[answer.status_code] += 1
        if (code := _reason_of(answer)) is not None:
            outcome.by_reason[code] += 1
        for judge in judges:
            judge.judge(operation.path, other or "GET", answer)

    send()


class _Judge:
    """Compares answers with one description."""

    def __init__(self, document: Mapping[str, Any], outcome: Outcome) -> None:
        self._document = document
        self._outcome = outcome

    def judge(self, path: str, method: str, answer: requests.Response) -> None:
        status = answer.status_code
        if status >= 500:
            self._outcome.server_errors[f"{path}: {status}"] += 1
        if method == "HEAD":  # has no body to be judged
            return
        fault = self._fault(path, method, status, answer)
        if fault is not None:
            self._outcome.not_described[f"{method} {path}: {fault}"] += 1

    def _fault(self, path: str, method: str, status: int, answer: requests.Response) -> str | None:
        responses = self._document["paths"][path]["get"]["responses"]
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if status == 304 and path in REVALIDATED:
            return "304 with a body" if answer.content or kind else None
        try:
            body = answer.json()
        except ValueError:
            return f"{status} without JSON ({kind or 'nothing'})"
        if kind != "application/json":
            return f"{status} in {kind}"
        if status == 200:
            return self._of_body(responses["200"], body)
        code = _reason_of(answer)
        if code is None or set(body) != {"error", "reason_code", "message", "field"}:
            return f"{status} of another form"
        if code in ADDITIONS:
            return None if status in (404, 429) or (status == 405 and method != "GET") else f"{status} {code}"
        response = responses.get(str(status))
        if response is None:
            return f"{status} is not described"
        if method != "GET":
            return f"{status} {code}"
        if code not in response.get("x-charthero-reason-codes", ()):
            return f"{status} {code} is not described"
        return self._of_body(response, body)

    def _of_body(self, response: Mapping[str, Any], body: Any) -> str | None:
        schema = response["content"]["application/json"]["schema"]
        whole = {**schema, "components": self._document["components"]}
        error = next(iter(Draft202012Validator(whole).iter_errors(body)), None)
        return None if error is None else f"a body with another {error.json_path}"


def _reason_of(answer: requests.Response) -> str | None:
    """Return the reason code of an error, if the answer has one."""
    try:
        body = answer.json()
    except ValueError:
        return None
    code = body.get("reason_code") if isinstance(body, dict) else None
    return code if isinstance(code, str) else None


def _there(parameters: Mapping[str, Any] | None, where: Opened, chance: random.Random) -> dict[str, str]:
    """Return ids of what is there, for those of the parameters that are ids."""
    encounter_id = where.foreign_id if chance.random() < 0.1 else where.encounter_id
    known = {"encounter_id": encounter_id, "document_id": chance.choice(where.document_ids)}
    return {name: known[name] for name in parameters or {} if name in known}


@contextlib.contextmanager
def opened() -> Iterator[Opened]:
    """Serve a deployment into which a client uploaded the sample visit, heard by the smallest model, with its note."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
        environment |= {
            "OSLER_DATA": str(Path(folder) / "data"),
            "OSLER_MODELS": str(Settings().models_path),
            "OSLER_SPEECH_MODEL": "tiny.en",
            "OSLER_PUBLIC_REQUESTS_PER_MINUTE": "0",
        }
        log = Path(folder) / "server.log"
        with running(["serve", "--port", "0"], environment, log) as process:
            root = f"http://127.0.0.1:{port_of(process, log)}"
            organization = osler(environment, "org", "create", "Clinic")["organization_id"]
            for command in (("api", "on"), ("enable-route", "all"), ("allow-org", organization)):
                osler(environment, "public", *command)
            scopes = "encounters:read,patients:read,documents:read,recordings:read"
            made = osler(environment, "key", "create", "--org", organization, "--kind", "public", "--scopes", scopes)
            other = osler(environment, "org", "create", "Other clinic")["organization_id"]
            clients = (_client(root, environment, each) for each in (organization, other))
            client, stranger = map(held.enter_context, map(contextlib.closing, clients))
            foreign_id = stranger.post("/sessions", json={}).raise_for_status().json()["session_id"]
            encounter_id = _visit(client)
            yield _released(root, made["key"], encounter_id, foreign_id)


def _client(root: str, environment: dict[str, str], organization_id: str) -> httpx.Client:
    """Return a client of the scribe API for a clinician of an organization."""
    key = osler(environment, "key", "create", "--org", organization_id, "--kind", "tenant")["key"]
    client = httpx.Client(base_url=root + BASE_PATH, timeout=PATIENCE)
    who = {"email": "clinician@example.org", "third_party_internal_id": "7"}
    answer = client.get("/jwt", params=who, headers={"Heidi-Api-Key": key}).raise_for_status()
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return client


def _visit(client: httpx.Client) -> str:
    """Upload the sample visit and have a note written; return its session."""
    session: str = client.post("/sessions", json={}).raise_for_status().json()["session_id"]
    files = {"file": ("visit.ogg", VISIT.read_bytes(), "audio/ogg")}
    client.post(f"/sessions/{session}/upload-audio", files=files).raise_for_status()
    deadline = time.monotonic() + PATIENCE
    while not client.get(f"/sessions/{session}/transcript").json().get("transcript"):
        if time.monotonic() > deadline:
            raise RuntimeError("the sample visit was not transcribed in time")
        time.sleep(0.5)
    client.post(f"/sessions/{session}/consult-note", json={}).raise_for_status()
    return session


def _released(root: str, key: str, encounter_id: str, foreign_id: str) -> Opened:
    """Wait until a transcript and a note can be read."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = httpx.get(
            f"{root}/external/v1/encounters/{encounter_id}", headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        documents = answer.raise_for_status().json()["encounter"]["documents"]
        if {"ambient_transcript", "document"} <= {document["schema_type"] for document in documents}:
            ids = tuple(document["document_id"] for document in documents)
            return Opened(root, key, encounter_id, ids, foreign_id)
        if time.monotonic() > deadline:
            raise RuntimeError("the sample visit was not released in time")
        time.sleep(0.2)


def main() -> int:
    """Run it against a deployment of its own, print what came of it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--contract", type=Path, default=CONTRACT)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    contract = json.loads(options.contract.read_text())
    with opened() as where:
        outcome = fuzz(where, options.cases, contract=contract, seeded=options.seed)
    print("\n".join(outcome.lines()))
    options.results.write_text(json.dumps(outcome.to_json(), indent=1, ensure_ascii=False) + "\n")
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())
