"""How the time of a page of the public API grows with the database.

``python -m osler_evals.public_scale [--encounters 1000000] [-o evals/results/public-scale.json]``: two databases in a
PostgreSQL of its own, one with 1,000 encounters, all of the measured organization, one with a million in all, 20,000
of the measured organization (``osler_evals.public_data``), each behind an ``osler serve`` of its own. One connection
asks both for pages of 50, in turn, so that what else the machine does falls on both: the first page, and offset 10,000.
Shown are medians in milliseconds, over the whole call as the client sees it. Wanted: the first page of the large
database within 1.5 times that of the small one, offset 10,000 within 4 times.

At offset 10,000 the small database has nothing to show: that call costs a count and an empty answer, so "the same call"
is judged strictly by it, and beside it stands the ratio to the small database's first page, which is as long.

``total`` is the count of the organization's encounters, timed by PostgreSQL itself. Making the large database takes
about five minutes on two cores and 3 GB of disk, measuring one; ``--encounters 50000`` is a quick run. It leaves
nothing behind, also when it is ended by Ctrl-C or SIGTERM.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import psycopg

from osler_evals.public_bare import TOTAL
from osler_evals.public_served import OneConnection, PublicServed, load, middle, served_publicly
from osler_evals.served import tidy_end

FEW: Final = 1000
ORGANIZATIONS: Final = 50
DEEP: Final = 10_000
"""The largest offset that the API takes."""

WANTED_FIRST: Final = 1.5
WANTED_DEEP: Final = 4.0
WARM_UP: Final = 30


def measure(in_all: int, calls: int) -> dict[str, Any]:
    """Return milliseconds of each call on both databases, and their ratios."""
    from tests.servers.postgresql import PostgresqlServer

    of_organization = in_all // ORGANIZATIONS
    server = PostgresqlServer(durable=True)
    try:
        server.start()
        few, many = server.create_database("few"), server.create_database("many")
        with (
            served_publicly(few, of_organization=FEW, in_all=FEW) as small,
            served_publicly(many, of_organization=of_organization, in_all=in_all) as large,
        ):
            before = load()
            deep = min(DEEP, of_organization // 2)
            figures = _figures(small, large, deep, calls)
            figures["total"] = {"small": _total(few, small, calls), "large": _total(many, large, calls)}
            figures["share of total"] = round(figures["total"]["large"] / figures["first page"]["large"], 3)
            figures["made in seconds"] = round(large.data.seconds)
    finally:
        server.close()
    return {
        "encounters": {"small": FEW, "large": in_all, "of the organization": of_organization},
        "offset": deep,
        **figures,
        "load": {"before": before, "after": load()},
    }


def _figures(small: PublicServed, large: PublicServed, deep: int, calls: int) -> dict[str, Any]:
    asked = {
        ("first page", "small"): (small, 0),
        ("first page", "large"): (large, 0),
        ("deep page", "small"): (small, deep),
        ("deep page", "large"): (large, deep),
    }
    clients = {where.root: OneConnection(where.root, where.headers) for where in (small, large)}
    taken: dict[tuple[str, str], list[float]] = {name: [] for name in asked}
    for number in range(WARM_UP + calls):
        for name, (where, offset) in asked.items():
            milliseconds = clients[where.root].milliseconds(where.page(offset))
            if number >= WARM_UP:
                taken[name].append(milliseconds)
    for client in clients.values():
        client.close()
    figures: dict[str, dict[str, float]] = {"first page": {}, "deep page": {}}
    for (page, size), times in taken.items():
        figures[page][size] = middle(times)
    first, later = figures["first page"], figures["deep page"]
    first["ratio"] = round(first["large"] / first["small"], 2)
    later["ratio"] = round(later["large"] / later["small"], 2)
    later["ratio to a first page"] = round(later["large"] / first["small"], 2)
    return figures


def _total(url: str, where: PublicServed, calls: int) -> float:
    """Return the milliseconds that PostgreSQL takes to count the organization's encounters."""
    times = []
    with psycopg.connect(url) as connection:
        connection.execute("SET jit = off")
        for _ in range(calls):
            statement = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {TOTAL.replace('$1', '%s')}"
            row = connection.execute(statement.encode(), (where.data.organization_id,)).fetchone()
            assert row is not None
            times.append(float(row[0][0]["Execution Time"]))
    return middle(times)


def main() -> int:
    """Measure, print, and say by the exit code whether it grows as little as is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encounters", type=int, default=1_000_000, help="in the large database; a multiple of 50")
    parser.add_argument("--calls", type=int, default=300, help="of each kind")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON here")
    options = parser.parse_args()
    with tidy_end():
        figures = measure(options.encounters, options.calls)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    good = figures["first page"]["ratio"] <= WANTED_FIRST and figures["deep page"]["ratio"] <= WANTED_DEEP
    return 0 if good and figures["share of total"] < 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
