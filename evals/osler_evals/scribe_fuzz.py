"""Requests made up from the served description, good ones and bad ones, and whether the answers are as described.

``python -m osler_evals.scribe_fuzz --cases 2000``
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.generation import GenerationMode

from osler_evals.served import Served, served

METHODS = ("get", "put", "post", "delete", "patch")

PATIENCE: Final = 300.0
"""Seconds for an answer: the first text waits until its writer is loaded, on whatever machine."""


@dataclass
class Outcome:
    """What came of it. A finding is method, path, and what was wrong with the answer."""

    cases: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)
    server_errors: Counter[str] = field(default_factory=Counter)
    undocumented_statuses: Counter[str] = field(default_factory=Counter)
    undocumented_types: Counter[str] = field(default_factory=Counter)
    not_sent: int = 0
    """Cases that no HTTP client can send: they are not counted as cases."""

    @property
    def clean(self) -> bool:
        """Whether every answer was as described."""
        return not (self.server_errors or self.undocumented_statuses or self.undocumented_types)

    def lines(self) -> Iterator[str]:
        """Yield the outcome as lines of text."""
        yield f"{self.cases} cases over {len(self.by_operation)} operations ({self.not_sent} could not be sent)"
        yield "answers: " + ", ".join(f"{status} × {count}" for status, count in sorted(self.by_status.items()))
        for name, found in (
            ("server errors", self.server_errors),
            ("undocumented status codes", self.undocumented_statuses),
            ("undocumented content types", self.undocumented_types),
        ):
            yield f"{name}: {found.total()}"
            yield from (f"  {finding} × {count}" for finding, count in found.most_common(20))


def fuzz(where: Served, cases: int, *, seeded: int = 0) -> Outcome:
    """Send about ``cases`` requests, the same number for each operation, half of them against the description.

    What is sent depends on ``seeded`` alone. Ids in paths are those of things that are there, in half of the cases.
    """
    document = httpx.get(f"{where.root}/openapi/v2/openapi.json", timeout=PATIENCE).json()
    description = schemathesis.openapi.from_dict(document)
    operations = [(path, method) for path, item in document["paths"].items() for method in METHODS if method in item]
    outcome = Outcome()
    each = -(-cases // (2 * len(operations)))
    with requests.Session() as session:
        for number, (path, method) in enumerate(operations):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _fuzz_operation(
                    where, session, description[path][method.upper()], document["paths"][path][method], mode, each,
                    seeded * 1000 + number, outcome,
                )  # fmt: skip
    return outcome


def _fuzz_operation(
    where: Served,
    session: requests.Session,
    operation: Any,
    described: Mapping[str, Any],
    mode: GenerationMode,
    cases: int,
    seeded: int,
    outcome: Outcome,
) -> None:
    name = f"{operation.method.upper()} {operation.path}"
    ids = _ids(where)
    sent = 0

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
        nonlocal sent
        sent += 1
        if sent % 2:
            case.path_parameters = {**(case.path_parameters or {}), **_there(case.path_parameters, ids)}
        key = {"Heidi-Api-Key": where.key} if operation.path == "/jwt" else {}
        try:
            answer = case.call(base_url=where.url, session=session, headers={**where.headers, **key}, timeout=PATIENCE)
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError, ValueError):
            outcome.not_sent += 1
            return
        _judge(name, described, answer, outcome)

    try:
        send()
    except Exception as error:
        # An operation without parameters has nothing that could be wrong.
        if type(error).__name__ not in ("Unsatisfiable", "SkipTest"):
            raise


def _judge(name: str, described: Mapping[str, Any], answer: Any, outcome: Outcome) -> None:
    outcome.cases += 1
    outcome.by_operation[name] += 1
    outcome.by_status[answer.status_code] += 1
    if answer.status_code >= 500:
        outcome.server_errors[f"{name}: {answer.status_code}"] += 1
    documented = described["responses"].get(str(answer.status_code))
    if documented is None:
        outcome.undocumented_statuses[f"{name}: {answer.status_code}"] += 1
        return
    types = documented.get("content", {})
    given_type = (answer.headers.get("content-type") or [""])[0].partition(";")[0]
    if (given_type or types) and given_type not in types:
        outcome.undocumented_types[f"{name}: {answer.status_code} in {given_type or 'nothing'}"] += 1


def _ids(where: Served) -> dict[str, str]:
    """Make a session and a profile, as the former ones may have been deleted, and return their ids."""
    with httpx.Client(base_url=where.url, headers=where.headers, timeout=PATIENCE) as client:
        session = client.post("/sessions", json={}).json()["session_id"]
        profile = client.post("/patient-profiles", json={"first_name": "Ada"}).json()["id"]
    return {"session_id": session, "patient_profile_id": profile}


def _there(parameters: Mapping[str, Any] | None, ids: Mapping[str, str]) -> dict[str, str]:
    return {name: ids[name] for name in parameters or {} if name in ids}


def main() -> int:
    """Run it against a deployment of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with served() as where:
        outcome = fuzz(where, options.cases, seeded=options.seed)
    print("\n".join(outcome.lines()))
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())
