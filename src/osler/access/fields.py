"""Which values of fields the access room takes. Every refusal names the field and never quotes its value."""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Final

from osler.audit.model import DEPLOYMENT
from osler.kernel.errors import InvalidFieldError

MOST_NAME: Final = 200
MOST_EXTERNAL_ID: Final = 255
MOST_RETENTION_DAYS: Final = 36_500
MOST_CONSENT_GRACE: Final = timedelta(days=365)

_ORGANIZATION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

# RFC 5321, section 4.5.3.1: octets of the whole path and of the local part; RFC 1035, section 2.3.4: of a label.
_MOST_EMAIL: Final = 254
_MOST_LOCAL: Final = 64
# The dot-atom of RFC 5322 and, after RFC 6531, letters beyond ASCII; no quoted local parts, no address literals.
_LOCAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_LABEL: Final = re.compile(r"[^\W_](([^\W_]|-){0,61}[^\W_])?")


def checked_email(value: str) -> str:
    """Return an e-mail address in one Unicode composition. Raises InvalidFieldError."""
    email = unicodedata.normalize("NFC", _checked_text("email", "e-mail address", value, 4 * _MOST_EMAIL))
    local, at, domain = email.rpartition("@")
    labels = domain.split(".")
    if (
        not at
        or len(email.encode()) > _MOST_EMAIL
        or len(local.encode()) > _MOST_LOCAL
        or not _LOCAL.fullmatch(local)
        or len(labels) < 2
        or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        raise InvalidFieldError("email", "The e-mail address is malformed; write it as name@example.org.")
    return email


def checked_third_party_id(value: str) -> str:
    """Return the EHR's own id of a user. Raises InvalidFieldError."""
    return _checked_text("third_party_id", "third-party id", value, MOST_EXTERNAL_ID)


def checked_account_id(value: str) -> str:
    """Return the id of an account elsewhere. Raises InvalidFieldError."""
    return _checked_text("account_id", "account id", value, MOST_EXTERNAL_ID)


def checked_ehr_provider(value: str | None) -> str | None:
    """Return the name of an EHR. Raises InvalidFieldError."""
    return None if value is None else _checked_text("ehr_provider", "EHR provider", value, MOST_EXTERNAL_ID)


def checked_organization_name(value: str) -> str:
    """Return an organization's name. Raises InvalidFieldError."""
    return _checked_text("name", "name of an organization", value, MOST_NAME)


def checked_organization_id(value: str) -> str:
    """Return an id chosen for a new organization. Raises InvalidFieldError."""
    if not _ORGANIZATION_ID.fullmatch(value) or value == DEPLOYMENT:
        raise InvalidFieldError(
            "organization_id",
            "An organization's id is 1 to 64 letters, digits, - and _, begins with a letter or digit, "
            f'and is not "{DEPLOYMENT}".',
        )
    return value


def checked_retention_days(value: int | None) -> int | None:
    """Return after how many days audio is erased, None for never. Raises InvalidFieldError."""
    if value is not None and (isinstance(value, bool) or not 1 <= value <= MOST_RETENTION_DAYS):
        raise InvalidFieldError(
            "retention_days", f"Days of retention are 1 to {MOST_RETENTION_DAYS}, or none to keep audio."
        )
    return value


def checked_consent_grace(value: timedelta) -> timedelta:
    """Return the grace after a withdrawal of consent, in whole seconds. Raises InvalidFieldError."""
    if not timedelta(0) <= value <= MOST_CONSENT_GRACE:
        raise InvalidFieldError(
            "consent_grace", f"The grace after a withdrawal of consent is 0 to {MOST_CONSENT_GRACE.days} days."
        )
    return timedelta(seconds=int(value.total_seconds()))


def checked_expiry(value: datetime | None) -> datetime | None:
    """Return when a key expires; it may be past. Raises InvalidFieldError for a time without zone."""
    if value is not None and value.tzinfo is None:
        raise InvalidFieldError("expires_at", "The time at which a key expires needs its zone.")
    return value


def _checked_text(field: str, label: str, value: str, most: int) -> str:
    if not value or value != value.strip():
        raise InvalidFieldError(field, f"The {label} must not be empty, nor begin or end with white space.")
    if len(value) > most:
        raise InvalidFieldError(field, f"The {label} is longer than {most} characters.")
    # Cc: control characters; Cs: halves of surrogate pairs, which no database keeps; Zl, Zp: line breaks.
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value):
        raise InvalidFieldError(field, f"The {label} holds characters that are not text.")
    return value
