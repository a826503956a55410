"""Identifiers: opaque, random, never derived from what they name."""

import secrets


def new_id() -> str:
    """Return 24 lower-case hexadecimal digits (96 random bits): the id of everything but encounters."""
    return secrets.token_hex(12)


def new_encounter_id() -> str:
    """Return 18 decimal digits without a leading zero; the scribe API shows encounter ids as decimal digits."""
    return str(10**17 + secrets.randbelow(9 * 10**17))
