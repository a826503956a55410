"""Identifiers: opaque; random, or derived from other ids so that work done twice names its result the same."""

import hashlib
import secrets


def new_id() -> str:
    """Return 24 lower-case hexadecimal digits (96 random bits): the id of everything but encounters."""
    return secrets.token_hex(12)


def new_encounter_id() -> str:
    """Return 18 decimal digits without a leading zero; the scribe API shows encounter ids as decimal digits."""
    return str(10**17 + secrets.randbelow(9 * 10**17))


def derived_id(what: str, *ids: str) -> str:
    """Return 24 hexadecimal digits that are the same for the same ``what`` and ``ids``: SHA-256, cut to 96 bits.

    For results of work that may be done twice. ``ids`` are ids, never content.
    """
    return hashlib.sha256("\0".join((what, *ids)).encode()).hexdigest()[:24]
