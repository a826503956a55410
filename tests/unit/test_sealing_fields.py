"""Sealed fields and the keys derived from the deployment's secret."""

import os
import sys
import unicodedata
from types import FrameType

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from osler.audit.ports import ChainKey
from osler.kernel.errors import CorruptedError, MasterKeyError
from osler.storage.sealing import keys
from osler.storage.sealing.deployment import DeploymentSecret, DerivedChainKey
from osler.storage.sealing.fields import field_context, seal, unseal
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey

CONTEXT = field_context("notes", "n1", "text", "org1")


@given(st.binary(max_size=5000))
def test_what_is_unsealed_is_what_was_sealed(plaintext: bytes) -> None:
    key = DataKey(os.urandom(32))
    sealed = seal(key, plaintext, CONTEXT)
    assert unseal(key, sealed, CONTEXT) == plaintext
    assert len(sealed) == len(plaintext) + 29
    assert len(plaintext) < 8 or plaintext not in sealed


def test_equal_values_are_sealed_differently() -> None:
    key = DataKey(os.urandom(32))
    assert seal(key, b"cough", CONTEXT) != seal(key, b"cough", CONTEXT)


@pytest.mark.parametrize(
    "place",
    [
        ("documents", "n1", "text", "org1"),
        ("notes", "n2", "text", "org1"),
        ("notes", "n1", "title", "org1"),
        ("notes", "n1", "text", "org2"),
        ("notesn1", "", "text", "org1"),
    ],
)
def test_a_value_moved_to_another_table_row_column_or_organization_is_refused(place: tuple[str, str, str, str]) -> None:
    key = DataKey(os.urandom(32))
    with pytest.raises(CorruptedError):
        unseal(key, seal(key, b"cough", CONTEXT), field_context(*place))


def test_every_altered_byte_and_every_cut_is_found() -> None:
    key = DataKey(os.urandom(32))
    sealed = seal(key, b"cough for three days", CONTEXT)
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 0x80
        with pytest.raises(CorruptedError):
            unseal(key, bytes(altered), CONTEXT)
        with pytest.raises(CorruptedError):
            unseal(key, sealed[:place], CONTEXT)
    with pytest.raises(CorruptedError):
        unseal(key, sealed + b"\0", CONTEXT)
    with pytest.raises(CorruptedError):
        unseal(DataKey(os.urandom(32)), sealed, CONTEXT)


def test_opening_a_key_and_a_value_sets_up_one_cipher_decrypts_twice_and_derives_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How many microseconds that takes is the machine's affair; how much there is to do is ours."""
    calls: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            calls.append(frame.f_code.co_name if event == "call" else getattr(argument, "__name__", ""))

    def set_up(key: bytes) -> AESGCM:
        return AESGCM(key)

    monkeypatch.setattr(keys, "AESGCM", set_up)
    ring = KeyRing(MasterKey(os.urandom(32)))
    wrapped, key = ring.new_object_key()
    sealed = seal(key, os.urandom(2048), CONTEXT)
    sys.setprofile(note)
    try:
        unseal(ring.open_key(wrapped), sealed, CONTEXT)
    finally:
        sys.setprofile(None)
    assert [call for call in calls if call in ("set_up", "encrypt", "decrypt")] == ["decrypt", "set_up", "decrypt"]
    assert not {"digest", "derive", "pbkdf2_hmac", "scrypt", "new"} & set(calls)
    assert len(calls) < 30, calls


# The deployment's secret


def secret() -> DeploymentSecret:
    return DeploymentSecret(DataKey(bytes(range(32))))


def test_the_secret_is_opened_by_its_master_key_alone() -> None:
    ring = KeyRing(MasterKey(os.urandom(32)))
    wrapped, made = DeploymentSecret.create(ring)
    assert DeploymentSecret.open(ring, wrapped).url_key() == made.url_key()
    with pytest.raises(MasterKeyError):
        DeploymentSecret.open(KeyRing(MasterKey(os.urandom(32))), wrapped)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann.Lee@Example.org", "ann.lee@example.ORG"),
        (" MRN-1 \n", "mrn-1"),
        ("Müller", unicodedata.normalize("NFD", "MÜLLER")),
        ("STRASSE", "straße"),
    ],
)
def test_the_blind_index_finds_what_a_person_would_call_the_same(one: str, other: str) -> None:
    assert secret().blind_index("o", "email", one) == secret().blind_index("o", "email", other)


def test_the_blind_index_differs_by_value_field_organization_and_deployment() -> None:
    other = DeploymentSecret(DataKey(os.urandom(32)))
    indexes = {
        secret().blind_index("o", "email", "a"),
        secret().blind_index("o", "email", "b"),
        secret().blind_index("o", "ehr_patient_id", "a"),
        secret().blind_index("p", "email", "a"),
        secret().blind_index("oe", "mail", "a"),
        other.blind_index("o", "email", "a"),
    }
    assert len(indexes) == 6
    assert {len(index) for index in indexes} == {32}


def test_what_is_derived_stays_the_same_for_good() -> None:
    """Stored rows depend on these values: a change here makes old data unfindable and old chains unverifiable."""
    assert (
        secret().blind_index("org", "email", "a@b.c").hex()
        == "fef54bdb148929ad4cd52de0792d9bb0c708e89361c16bdf2c4782b58c0575f9"
    )
    assert secret().chain_mac("org", b"entry") == "8250c579c290dc49b77517fe0f8ab13f9b9fea27e033a892b2a7d386244031e5"
    assert secret().url_key().hex() == "3aafe2efecaddbd5dbab58b0950438773e35c3b9c65802e16bbc4ed879afdcc3"
    digest = secret().content_digest("org")
    digest.update(b"audio")
    assert digest.hexdigest() == "111985197b3e90039599b16d1d478d132f33bb2a6d9439f57ac06d577eca2d5e"


def test_equal_bytes_have_equal_digests_in_one_organization_only() -> None:
    def digest(organization_id: str, *pieces: bytes) -> str:
        running = secret().content_digest(organization_id)
        for piece in pieces:
            running.update(piece)
        return running.hexdigest()

    assert digest("o", b"au", b"dio") == digest("o", b"audio") != digest("p", b"audio")


def test_each_organization_has_its_own_chain_key() -> None:
    key: ChainKey = DerivedChainKey(secret())
    assert key.mac("o", b"entry") != key.mac("p", b"entry")
    assert key.mac("o", b"entry") != key.mac("o", b"entrz")
    assert len(key.mac("o", b"entry")) == 64
