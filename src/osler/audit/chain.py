"""The keyed hash chain: what an entry's ``mac`` is made of, and how a chain is checked entry by entry.

The ``mac`` of entry *n* is three HMAC-SHA256 under the organization's chain key, joined, in hexadecimal:

- *content* (128 bits): of everything the event says;
- *place* (128 bits): of *n* and *content*;
- *link* (256 bits): of *n*, *content* and the *seal* of entry *n* - 1.

The seal of an entry is a further HMAC, of *n* and its ``mac``. It stands beside no entry; only that of the last one is
stored, as the chain's head. So nobody without the key can cut the chain and put a head that fits, while the first two
parts tell a changed entry from one that stands in another place, and leave its innocent neighbours out of it.

Truncation to 128 bits: RFC 2104, section 5. An event's canonical bytes: JSON with sorted keys, no white space, UTF-8.
"""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Final

from osler.audit.model import DEPLOYMENT, AuditEntry, AuditEvent, BrokenLink, ChainHead, Fault, Verification
from osler.audit.ports import ChainKey

MOST_FAULTS: Final = 1000
"""A verification names no more than these; a chain with more is no chain."""

_SHORT: Final = 32
"""Hexadecimal digits of *content* and of *place*."""

_BEFORE_THE_FIRST: Final = ""
"""What stands for the seal of the entry before the first."""

_canonical: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class ChainMacs:
    """Makes the parts of an entry's ``mac`` in one organization's chain."""

    def __init__(self, key: ChainKey, organization_id: str) -> None:
        self._key = key
        self._organization_id = organization_id

    def content(self, event: AuditEvent) -> str:
        """Return the part that proves what the event says."""
        actor = event.actor
        parts = (
            self._organization_id,
            actor.kind.value,
            actor.id,
            actor.origin,
            event.action,
            event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            dict(event.subject),
            event.outcome.value,
            dict(event.detail),
        )
        return self._mac(f"content {_canonical(parts)}")[:_SHORT]

    def place(self, sequence: int, content: str) -> str:
        """Return the part that proves where the entry stands."""
        return self._mac(f"place {sequence} {content}")[:_SHORT]

    def link(self, sequence: int, content: str, previous: str) -> str:
        """Return the part that proves which entry it follows; ``previous`` is that one's seal."""
        return self._mac(f"link {sequence} {content} {previous}")

    def seal(self, sequence: int, mac: str) -> str:
        """Return what the next entry follows, and what the head holds as long as this is the last one."""
        return self._mac(f"seal {sequence} {mac}")

    def entry(self, event: AuditEvent, after: ChainHead | None) -> tuple[AuditEntry, ChainHead]:
        """Return the entry of ``event`` after the last link ``after`` (None: the first), and the new last link."""
        sequence = after.sequence + 1 if after else 1
        content = self.content(event)
        link = self.link(sequence, content, after.mac if after else _BEFORE_THE_FIRST)
        mac = content + self.place(sequence, content) + link
        head = ChainHead(self._organization_id, sequence, self.seal(sequence, mac), event.at)
        return AuditEntry(sequence, event, mac), head

    def _mac(self, text: str) -> str:
        return self._key.mac(self._organization_id, text.encode("utf-8", "surrogatepass"))


class ChainCheck:
    """Checks a chain as its entries come by, in constant memory.

    Named are: an entry whose content does not fit (CHANGED), a number without its entry (MISSING), an entry of another
    place (REORDERED), and the first entry from which on nothing was made with the key, or which does not continue the
    entry before it, or is not the one whose seal was kept elsewhere (REWRITTEN). CUT_OFF names the first number that
    should follow the last entry: the head shows more, or another last entry, than there is.
    """

    def __init__(self, key: ChainKey, organization_id: str, kept: ChainHead | None = None) -> None:
        self._macs = ChainMacs(key, organization_id)
        self._organization_id = organization_id
        self._kept = kept
        self._entries = 0
        self._last = 0
        self._seal: str | None = _BEFORE_THE_FIRST  # of the last entry; None: it is missing
        self._last_is_faulty = False
        self._forged = 0  # how many entries in a row, up to the last, have a mac that the key did not make
        self._faults: dict[BrokenLink, None] = {}

    def feed(self, entries: Sequence[AuditEntry]) -> None:
        """Check the next entries, by ascending sequence."""
        for entry in entries:
            self._check(entry)
        self._entries += len(entries)

    def finish(self, head: ChainHead | None) -> Verification:
        """Compare the end with the stored ``head`` and with the one kept elsewhere, if any; return the outcome."""
        self._end_forged()
        after = self._last + 1
        if self._last == 0:
            # The first entry of an organization is its creation. A deployment may not have acted yet.
            if head is not None or self._organization_id != DEPLOYMENT:
                self._name(after, Fault.CUT_OFF)
        elif head is None or head.sequence > self._last:
            self._name(after, Fault.CUT_OFF)
        elif head.sequence < self._last:
            self._name(head.sequence + 1, Fault.REWRITTEN)
        elif not self._last_is_faulty and head.mac != self._seal:
            self._name(after, Fault.CUT_OFF)
        if self._kept is not None and self._kept.sequence > self._last:
            self._name(after, Fault.CUT_OFF)
        broken = tuple(sorted(self._faults, key=lambda fault: (fault.sequence, fault.fault)))
        return Verification(self._organization_id, self._entries, broken)

    def _check(self, entry: AuditEntry) -> None:
        sequence = entry.sequence
        content, place, link = entry.mac[:_SHORT], entry.mac[_SHORT : 2 * _SHORT], entry.mac[2 * _SHORT :]
        fits = content == self._macs.content(entry.event)
        in_place = place == self._macs.place(sequence, content)
        if sequence < 1:  # a row that was slipped in before the chain: it is in no one's way
            self._name(sequence, Fault.REORDERED if fits else Fault.CHANGED)
            return
        if sequence > self._last + 1:
            self._end_forged()
            for missing in range(self._last + 1, min(sequence, self._last + 1 + MOST_FAULTS)):
                self._name(missing, Fault.MISSING)
            self._seal = None
        if not fits and not in_place:
            self._forged += 1
            self._last_is_faulty = True
        else:
            self._end_forged()
            follows = self._seal is None or link == self._macs.link(sequence, content, self._seal)
            # Where the entry before is at fault, what follows it cannot fit, and is not to blame.
            astray = not follows and not self._last_is_faulty
            self._last_is_faulty = not fits or not in_place or astray
            if not fits:
                self._name(sequence, Fault.CHANGED)
            elif not in_place:
                self._name(sequence, Fault.REORDERED)
            elif astray:
                self._name(sequence, Fault.REWRITTEN)
        self._last = sequence
        self._seal = self._macs.seal(sequence, entry.mac)
        if self._kept is not None and sequence == self._kept.sequence and self._seal != self._kept.mac:
            self._name(sequence, Fault.REWRITTEN)

    def _end_forged(self) -> None:
        """Name a row of forged entries that ends here: a single one was changed, several are another chain."""
        if self._forged:
            self._name(self._last - self._forged + 1, Fault.CHANGED if self._forged == 1 else Fault.REWRITTEN)
        self._forged = 0

    def _name(self, sequence: int, fault: Fault) -> None:
        if len(self._faults) < MOST_FAULTS:
            self._faults[BrokenLink(sequence, fault)] = None
