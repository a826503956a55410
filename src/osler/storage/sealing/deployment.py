"""The deployment's secret: one random key, from which the keys of blind indexes, chains, digests and URLs derive."""

import hmac
import secrets
import struct
import unicodedata
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from osler.kernel.blobs import ObjectKey
from osler.storage.sealing.keys import KEY_SIZE, DataKey, KeyRing

ID_RANDOM: Final = 24
"""Hexadecimal digits of an object's id that are random (96 bits)."""

ID_TAG: Final = 8
"""Hexadecimal digits of an object's id that say whose it is (32 bits)."""

_REMEMBERED: Final = 4096
"""Derived keys kept in memory; a key is a few microseconds to derive again."""


class DeploymentSecret:
    """Derives keys by purpose with HKDF-Expand-SHA256 (RFC 5869); the secret is random, so Extract is not needed.

    It never changes: a rotation of the master key wraps it again. Losing it loses search and the audit chains' proof,
    so a backup holds it, wrapped.
    """

    def __init__(self, secret: DataKey) -> None:
        key = secret.secret

        def derive(purpose: str, *parts: str) -> bytes:
            info = b"osler/1" + b"".join(struct.pack(">I", len(p)) + p for p in (s.encode() for s in (purpose, *parts)))
            return HKDFExpand(SHA256(), KEY_SIZE, info).derive(key)

        self._derive = lru_cache(_REMEMBERED)(derive)

    def __repr__(self) -> str:
        return "DeploymentSecret(...)"

    @classmethod
    def create(cls, ring: KeyRing) -> tuple[ObjectKey, "DeploymentSecret"]:
        """Make the secret of a new deployment; the wrapped key is for its row."""
        wrapped, opened = ring.new_object_key()
        return wrapped, cls(opened)

    @classmethod
    def open(cls, ring: KeyRing, wrapped: ObjectKey) -> "DeploymentSecret":
        """Open the secret of this deployment. Raises MasterKeyError: this is where a wrong master key shows first."""
        return cls(ring.open_key(wrapped))

    def blind_index(self, organization_id: str, field: str, value: str) -> bytes:
        """Return 32 bytes by which a sealed value can be found again: HMAC-SHA256, one key an organization and field.

        Values that differ only in case, in Unicode composition or in white space around them have the same index.
        """
        value = unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold()).strip()
        return hmac.digest(self._derive("blind index", organization_id, field), value.encode(), "sha256")

    def content_digest(self, organization_id: str) -> "hmac.HMAC":
        """Return a running HMAC-SHA256 to feed with the plain bytes of an object: equal bytes, equal digests."""
        return hmac.new(self._derive("content digest", organization_id), digestmod="sha256")

    def new_object_id(self) -> str:
        """Return 32 hexadecimal digits for a new object in the blob store: random ones, and a tag made of them."""
        random = secrets.token_hex(ID_RANDOM // 2)
        return random + self._object_tag(random)

    def made_object_id(self, object_id: str) -> bool:
        """Say whether this deployment made the id. Another that keeps its objects in the same place made other tags."""
        return hmac.compare_digest(self._object_tag(object_id[:ID_RANDOM]), object_id[ID_RANDOM:])

    def url_key(self) -> bytes:
        """Return the key that signs Osler's own URLs of recordings."""
        return self._derive("media url")

    def ledger_mac(self, data: bytes) -> str:
        """Return HMAC-SHA256 (hexadecimal) of an entry of the erasure ledger."""
        return hmac.new(self._derive("erasure ledger"), data, "sha256").hexdigest()

    def chain_mac(self, organization_id: str, data: bytes) -> str:
        """Return HMAC-SHA256 (hexadecimal) of ``data`` under the organization's key of the audit chain."""
        return hmac.digest(self._derive("audit chain", organization_id), data, "sha256").hex()

    def _object_tag(self, random: str) -> str:
        return hmac.digest(self._derive("object id"), random.encode(), "sha256").hex()[:ID_TAG]


class DerivedChainKey:
    """The audit room's ChainKey on the deployment's secret."""

    def __init__(self, secret: DeploymentSecret) -> None:
        self._secret = secret

    def mac(self, organization_id: str, data: bytes) -> str:
        """Return HMAC-SHA256 (hexadecimal) of ``data`` under the organization's chain key."""
        return self._secret.chain_mac(organization_id, data)
