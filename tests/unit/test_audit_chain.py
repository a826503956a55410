"""The hash chain by itself: whatever is done to one entry is named, and checking takes no memory that grows."""

import gc
import hashlib
import hmac
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from osler.audit.chain import MOST_FAULTS, ChainCheck, ChainMacs
from osler.audit.model import Actor, ActorKind, AuditEntry, AuditEvent, ChainHead, Outcome

AT = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


class Key:
    def mac(self, organization_id: str, data: bytes) -> str:
        return hmac.digest(b"key of " + organization_id.encode(), data, hashlib.sha256).hex()


def event(number: int) -> AuditEvent:
    return AuditEvent(
        organization_id="clinic",
        actor=Actor(ActorKind.KEY, "5f0c", "192.0.2.7"),
        action="transcript.read",
        at=AT + timedelta(seconds=number),
        subject={"encounter": str(number)},
        detail={"route": "transcript"},
    )


def links(count: int) -> Iterator[tuple[AuditEntry, ChainHead]]:
    macs, head = ChainMacs(Key(), "clinic"), None
    for number in range(1, count + 1):
        entry, head = macs.entry(event(number), head)
        yield entry, head


def chain(count: int) -> tuple[list[AuditEntry], ChainHead]:
    made = list(links(count))
    return [entry for entry, _ in made], made[-1][1]


def broken(entries: list[AuditEntry], head: ChainHead | None, kept: ChainHead | None = None) -> list[tuple[int, str]]:
    check = ChainCheck(Key(), "clinic", kept)
    check.feed(sorted(entries, key=lambda entry: entry.sequence))
    return [(each.sequence, each.fault.value) for each in check.finish(head).broken]


TEXT = st.text(max_size=8)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=2)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), st.data())
def test_any_other_value_of_any_field_is_named(sequence: int, data: st.DataObject) -> None:
    entries, head = chain(8)
    genuine = entries[sequence - 1].event
    changed = data.draw(
        st.one_of(
            st.builds(replace, st.just(genuine), action=TEXT),
            st.builds(replace, st.just(genuine), subject=TEXTS),
            st.builds(replace, st.just(genuine), detail=TEXTS),
            st.builds(replace, st.just(genuine), outcome=st.sampled_from(Outcome)),
            st.builds(replace, st.just(genuine), at=st.datetimes(timezones=st.just(UTC))),
            st.builds(
                replace,
                st.just(genuine),
                actor=st.builds(Actor, st.sampled_from(ActorKind), st.just("5f0c"), TEXT | st.just("192.0.2.7")),
            ),
        )
    )
    entries[sequence - 1] = replace(entries[sequence - 1], event=changed)
    assert broken(entries, head) == ([] if changed == genuine else [(sequence, "changed")])


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), st.integers(0, 127), st.sampled_from("0123456789abcdefxX \0ä"))
def test_any_other_character_of_a_mac_is_named(sequence: int, index: int, character: str) -> None:
    entries, head = chain(8)
    mac = entries[sequence - 1].mac
    other = mac[:index] + character + mac[index + 1 :]
    entries[sequence - 1] = replace(entries[sequence - 1], mac=other)
    named = broken(entries, head)
    assert bool(named) is (other != mac)
    assert all(number == sequence for number, _ in named)


@settings(max_examples=200, deadline=None)
@given(st.permutations(range(1, 9)))
def test_of_entries_in_any_order_those_out_of_place_are_named(order: list[int]) -> None:
    entries, head = chain(8)
    moved = [replace(entries[number - 1], sequence=place) for place, number in enumerate(order, 1)]
    assert broken(moved, head) == [(place, "reordered") for place, number in enumerate(order, 1) if place != number]


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(1, 8), max_size=7))
def test_whichever_entries_are_removed_are_named(removed: set[int]) -> None:
    entries, head = chain(8)
    left = [entry for entry in entries if entry.sequence not in removed]
    last = left[-1].sequence
    expected = [(number, "missing") for number in sorted(removed) if number < last]
    assert broken(left, head) == expected + ([] if last == 8 else [(last + 1, "cut off")])


def test_entries_that_differ_only_in_where_a_text_ends_differ() -> None:
    macs = ChainMacs(Key(), "clinic")
    first = replace(event(1), action="a", subject={"b": "c"})
    assert macs.content(first) != macs.content(replace(first, action='a","b', subject={}))
    assert macs.content(replace(first, subject={"b": "c,d"})) != macs.content(
        replace(first, subject={"b": "c", "d": ""})
    )


def test_the_same_act_in_another_time_zone_or_order_of_keys_is_the_same() -> None:
    macs = ChainMacs(Key(), "clinic")
    one = replace(event(1), subject={"encounter": "1", "document": "2"})
    other = replace(one, subject={"document": "2", "encounter": "1"}, at=one.at.astimezone())
    assert macs.content(one) == macs.content(other)


def test_a_head_kept_from_any_moment_fits_and_none_can_be_made_of_what_the_rows_show() -> None:
    made = list(links(8))
    entries, head = [entry for entry, _ in made], made[-1][1]
    for entry, kept in made:
        assert broken(entries, head, kept) == []
        for guess in (entry.mac, entry.mac[64:], entry.mac[:64]):
            assert broken(entries, head, replace(kept, mac=guess)) == [(kept.sequence, "rewritten")]


def test_a_chain_of_nonsense_is_named_within_bounds() -> None:
    nonsense = [AuditEntry(number * 1000, event(number), "?") for number in range(1, 50)]
    named = broken(nonsense, None)
    assert len(named) == MOST_FAULTS
    assert named[0] == (1, "missing")


def test_a_check_of_many_entries_takes_no_memory_for_them() -> None:
    check = ChainCheck(Key(), "clinic")
    made = links(6000)
    check.feed([next(made)[0] for _ in range(1000)])
    tracemalloc.start()
    try:
        check.feed([next(made)[0]])
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        last: ChainHead | None = None
        for entry, head in made:
            check.feed([entry])
            last = head
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert check.finish(last).broken == ()
    grown = after - before
    assert grown < 100_000  # 20 bytes an entry would be more


def test_a_chain_that_another_made_with_a_key_of_his_own_is_named_once() -> None:
    forger = random.Random(7)
    entries, head = chain(8)
    forged = [replace(entry, mac=f"{forger.getrandbits(512):0128x}") for entry in entries]
    assert broken(forged, head) == [(1, "rewritten")]
    assert broken(entries[:4] + forged[4:], head) == [(5, "rewritten")]
