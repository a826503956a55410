"""Requests made up from the served description: no failure of the server, no answer that is not described.

``python -m osler_evals.scribe_fuzz --cases 2000`` is the long form.
"""

import pytest
from osler_evals.scribe_fuzz import fuzz
from osler_evals.served import Served

from tests.contract.live import Deployment, Tenant

CASES = 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_made_up_request_is_answered_otherwise_than_described(deployment: Deployment, clinic: Tenant) -> None:
    token = deployment.token(clinic, "fuzz@example.org", "fuzz")
    outcome = fuzz(Served(deployment.data, deployment.server.url, clinic.id, clinic.key, token), CASES, seeded=4)
    assert outcome.cases >= CASES * 0.9
    assert outcome.clean, "\n".join(outcome.lines())
