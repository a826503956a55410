"""Who did what, when, from where and with what outcome; never content. Plain types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class ActorKind(StrEnum):
    """What sort of actor did it."""

    USER = "user"
    KEY = "key"
    OPERATOR = "operator"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user's or key's id, ``operator`` (the command line) or ``system`` (policies, steps).

    ``origin`` says from where: a network address, ``cli``, or ``worker``.
    """

    kind: ActorKind
    id: str
    origin: str


OPERATOR = Actor(ActorKind.OPERATOR, "operator", "cli")
SYSTEM = Actor(ActorKind.SYSTEM, "system", "worker")

DEPLOYMENT: Final = "deployment"
"""The chain of what belongs to no organization, such as keys that sign bearer tokens. No organization has this id."""


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act. ``action`` is ``noun.verb`` (``encounter.erased``, ``key.created``, ``transcript.read``).

    ``subject`` names rows by id (``{"encounter": "...", "document": "..."}``); ``detail`` holds codes, counts and names
    of fields or settings. Neither holds content of a visit, a name or an address of a patient.
    """

    organization_id: str
    actor: Actor
    action: str
    at: datetime
    subject: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome = Outcome.DONE
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An event in its chain. ``sequence`` counts from 1 in each organization.

    ``mac`` (hexadecimal) proves what the entry says, where it stands and what it follows: see :mod:`osler.audit.chain`.
    """

    sequence: int
    event: AuditEvent
    mac: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last link of an organization's chain; kept elsewhere, it shows later what was cut off or rewritten.

    ``mac`` cannot be made from the entries without the chain key; ``at`` is the time of the last entry.
    """

    organization_id: str
    sequence: int
    mac: str
    at: datetime


class Fault(StrEnum):
    """What is wrong with a chain."""

    CHANGED = "changed"
    MISSING = "missing"
    REORDERED = "reordered"
    CUT_OFF = "cut off"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """A fault and the sequence number at which it shows."""

    sequence: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of verifying a chain: how many entries were read, and the faults found, by sequence number."""

    organization_id: str
    entries: int
    broken: tuple[BrokenLink, ...]
