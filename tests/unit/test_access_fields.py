"""Which e-mail addresses, ids and keys are taken, and that a refusal never quotes what it refuses."""

import math

import pytest

from osler.access.fields import checked_email, checked_third_party_id
from osler.access.key_text import hint, is_key_text, is_test_key_text, new_key_text
from osler.access.model import KeyKind
from osler.kernel.errors import InvalidFieldError

KINDS = pytest.mark.parametrize("kind", list(KeyKind))


@pytest.mark.parametrize(
    "email",
    [
        "ann@example.org",
        "Ann.O'Neil+scribe@mail.example.co.uk",
        "müller@krankenhaus.example",
        "ann@krankenhäuser.example",
        "a@b.co",
        "x" * 64 + "@example.org",
        "1!#$%&*/=?^_`{|}~-@example.org",
    ],
)
def test_addresses_as_ehrs_send_them_are_taken_as_they_are(email: str) -> None:
    assert checked_email(email) == email


def test_two_ways_to_write_one_address_are_one() -> None:
    assert checked_email("mu\u0308ller@example.org") == "m\u00fcller@example.org"


@pytest.mark.parametrize(
    "email",
    [
        "",
        " ",
        "ann",
        "@clinic.example",
        "ann@",
        "ann@example",
        "ann@@example.org",
        "ann@bob@example.org",
        "ann example@example.org",
        " ann@example.org",
        "ann@example.org\n",
        ".ann@example.org",
        "ann.@example.org",
        "a..b@example.org",
        "ann@-example.org",
        "ann@example-.org",
        "ann@exam_ple.org",
        "ann@.example.org",
        "ann@example..org",
        "ann@example.org.",
        "ann@[192.0.2.7]",
        '"ann b"@example.org',
        "ann,bob@example.org",
        "Ann <ann@example.org>",
        "ann@example.org\0",
        "a\ud800nn@example.org",
        "x" * 65 + "@example.org",
        "ann@" + "x" * 64 + ".org",
        "ann@" + "x.y" * 100 + ".org",
        "ann@example.org" * 10_000,
    ],
)
def test_a_malformed_address_is_refused_by_name_and_not_quoted(email: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        checked_email(email)
    assert refused.value.field == "email"
    assert "e-mail" in str(refused.value)
    assert not email.strip() or email.strip() not in str(refused.value)


@pytest.mark.parametrize("value", ["", " ", " 7", "7 ", "7\0", "7\n8", "7" * 256, "\udfff", "7\u2028"])
def test_an_id_that_no_database_keeps_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        checked_third_party_id(value)
    assert refused.value.field == "third_party_id"


@KINDS
@pytest.mark.parametrize("test", [True, False])
def test_a_new_key_has_256_random_bits_and_tells_what_it_is(kind: KeyKind, test: bool) -> None:
    keys = {new_key_text(kind, test=test) for _ in range(200)}
    assert len(keys) == 200
    prefix = {KeyKind.PUBLIC: "ch_sk_", KeyKind.TENANT: "osk_"}[kind] + ("test_" if test else "")
    characters: set[str] = set()
    for key in keys:
        assert key.startswith(prefix)
        assert len(key) == len(prefix) + 43
        assert is_key_text(kind, key)
        assert is_test_key_text(kind, key) is test
        assert hint(key) == key[-4:]
        characters |= set(key.removeprefix(prefix))
    # 8600 draws leave none of the letters and digits out.
    assert len(characters) == 62
    assert 43 * math.log2(len(characters)) >= 256


def test_a_key_of_one_door_is_none_of_the_other() -> None:
    assert not is_key_text(KeyKind.TENANT, new_key_text(KeyKind.PUBLIC, test=False))
    assert not is_key_text(KeyKind.PUBLIC, new_key_text(KeyKind.TENANT, test=True))
