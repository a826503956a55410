"""Requests made up from the served description and from the contract: no failure of the server, no answer beside them.

``python -m osler_evals.public_fuzz --cases 2000`` is the long form.
"""

import pytest
from osler_evals.public_fuzz import Opened, fuzz

from tests.contract.public.contract import CONTRACT
from tests.contract.public.live import Live

CASES = 120


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_made_up_request_is_answered_otherwise_than_described(live: Live) -> None:
    where = Opened(live.server.url, live.key, live.visit.id, tuple(live.visit.documents.values()), live.foreign.id)
    outcome = fuzz(where, CASES, contract=CONTRACT, seeded=7)
    assert outcome.cases >= CASES * 0.9
    assert outcome.by_status[200] and outcome.by_status[404] and len(outcome.by_reason) > 3
    assert outcome.clean, "\n".join(outcome.lines())
