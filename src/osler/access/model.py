"""Organizations, users, linked accounts, keys. Plain types."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ReleasePolicy(StrEnum):
    """When documents become readable from outside."""

    AUTOMATIC = "automatic"
    SIGN_OFF = "sign-off"


class ConsentPolicy(StrEnum):
    """Whether audio may be stored before the patient's consent is on record."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class Visibility(StrEnum):
    """Whose encounters a user sees."""

    OWNER = "owner"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant and its policies.

    ``retention_days``: audio older than this is erased; None keeps it. ``consent_grace``: how long after a withdrawal
    of consent audio and unsigned texts are still there, so that a mistaken click can be taken back.
    ``public_api``: the public API serves this organization (allow-list of the public contract).
    """

    id: str
    name: str
    created_at: datetime
    release: ReleasePolicy = ReleasePolicy.AUTOMATIC
    consent: ConsentPolicy = ConsentPolicy.OPTIONAL
    visibility: Visibility = Visibility.OWNER
    retention_days: int | None = None
    consent_grace: timedelta = timedelta(hours=24)
    public_api: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A clinician as the EHR knows him: e-mail and the EHR's own id. Sealed at rest, found by blind index."""

    id: str
    organization_id: str
    email: str
    third_party_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """A user's account elsewhere; ``account_id`` is its id there. ``deleted_at`` is set when it is unlinked."""

    id: str
    organization_id: str
    user_id: str
    account_id: str
    ehr_provider: str | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None


class KeyKind(StrEnum):
    """Which door a key opens."""

    TENANT = "tenant"
    PUBLIC = "public"


class Scope(StrEnum):
    """What a public key may read."""

    ENCOUNTERS = "encounters:read"
    PATIENTS = "patients:read"
    DOCUMENTS = "documents:read"
    RECORDINGS = "recordings:read"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, of which only a keyed digest is stored. ``user_id`` None: it is the organization's.

    ``hint`` is the last four characters, for people to tell keys apart. A disabled key can be enabled again, a revoked
    one never.
    """

    id: str
    organization_id: str
    kind: KeyKind
    hint: str
    created_at: datetime
    scopes: frozenset[Scope] = frozenset()
    test: bool = False
    user_id: str | None = None
    expires_at: datetime | None = None
    disabled_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def fault(self, now: datetime) -> str | None:
        """Return ``disabled_key``, ``revoked_key``, ``expired_key`` (the public contract's codes) or None: it opens."""
        if self.disabled_at is not None:
            return "disabled_key"
        if self.revoked_at is not None:
            return "revoked_key"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired_key"
        return None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs bearer tokens (HMAC-SHA256). The newest signs; those not yet retired still verify."""

    id: str
    secret: bytes
    created_at: datetime
    retired_at: datetime | None = None
