"""The tables of each room, and their one metadata, which is complete once this package is imported."""

from osler.storage.tables import (
    access,
    audio,
    audit,
    coding,
    encounters,
    erasures,
    idempotency,
    jobs,
    notes,
    release,
    sealing,
    speech,
    templates,
)
from osler.storage.tables.metadata import metadata

__all__ = [
    "access",
    "audio",
    "audit",
    "coding",
    "encounters",
    "erasures",
    "idempotency",
    "jobs",
    "metadata",
    "notes",
    "release",
    "sealing",
    "speech",
    "templates",
]
