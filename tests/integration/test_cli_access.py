"""``osler org | user | key | audit`` as an operator has them: each command opens the deployment anew."""

import contextlib
import io
import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from osler.access.model import KeyKind, Organization
from osler.bootstrap import Core
from osler.cli import exits
from osler.cli.app import main
from osler.cli.core import run
from osler.kernel import errors
from tests.integration import cli
from tests.integration.cli import Finished

EMAIL = "quillfeather@example.org"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment that was just initialised."""
    for name in list(os.environ):
        if name.startswith("OSLER_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "data"
    monkeypatch.setenv("OSLER_DATA", str(folder))
    # The commands run in this process, whose logging belongs to the tests.
    monkeypatch.setattr("osler.logs.configure", lambda level: None)
    succeed(osler("init"))
    return folder


def osler(*args: str | Path) -> Finished:
    """Run a command without the second that a new interpreter needs to import all of it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(each) for each in args])
    assert isinstance(ended.value.code, int)
    return Finished(ended.value.code, out.getvalue(), err.getvalue())


def succeed(done: Finished) -> Finished:
    assert done.code == 0, done.err
    return done


def answer(*args: str | Path) -> Any:
    """Return what a command with ``--json`` says; nothing but JSON is on its standard output."""
    return json.loads(succeed(osler(*args, "--json")).out)


def refused(error: type[errors.OslerError], *args: str | Path) -> str:
    """Return the one line of a command that fails with this error."""
    done = osler(*args)
    assert (done.code, done.out) == (exits.CODES[error], ""), done.err
    assert done.is_one_clear_line()
    return done.err


def tamper(data: Path, statement: str) -> None:
    connection = sqlite3.connect(data / "osler.db")
    with connection:
        connection.execute(statement)
    connection.close()


def test_an_organization_is_made_shown_and_given_its_policies(tmp_path: Path) -> None:
    made = answer("org", "create", "St Mary", "--id", "st-mary")
    assert made.pop("created_at").endswith("+00:00")
    assert made == {
        "organization_id": "st-mary",
        "name": "St Mary",
        "release": "automatic",
        "consent": "optional",
        "visibility": "owner",
        "retention_days": None,
        "consent_grace_hours": 24.0,
        "public_api": False,
    }
    policies = ("--release", "sign-off", "--consent", "required", "--visibility", "tenant", "--public-api")
    times = ("--retention-days", "30", "--consent-grace-hours", "1.5")
    changed = answer("org", "set", "st-mary", *policies, *times)
    wanted = {
        "release": "sign-off",
        "consent": "required",
        "visibility": "tenant",
        "retention_days": 30,
        "consent_grace_hours": 1.5,
        "public_api": True,
    }
    assert {name: changed[name] for name in wanted} == wanted
    assert answer("org", "set", "st-mary", "--retention-days", "none")["retention_days"] is None
    shown = succeed(osler("org", "show", "st-mary", "-o", tmp_path / "shown"))
    assert shown.out == ""
    assert "release        sign-off\n" in (tmp_path / "shown").read_text()
    assert [each["organization_id"] for each in answer("org", "list")["organizations"]] == ["st-mary"]


def test_a_wrong_line_is_refused_before_anything_is_done() -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    assert "id" in refused(errors.ConflictError, "org", "create", "Other", "--id", "st-mary")
    refused(errors.InvalidFieldError, "org", "create", "Other", "--id", "deployment")
    refused(errors.InvalidFieldError, "org", "set", "st-mary", "--retention-days", "0")
    refused(errors.NotFoundError, "org", "set", "nobody", "--retention-days", "1")
    for usage in (
        ("org", "set", "st-mary"),
        ("org", "set", "st-mary", "--release", "sometimes"),
        ("org", "set", "st-mary", "--retention-days", "soon"),
        ("org", "set", "st-mary", "--consent-grace-hours", "nan"),
        ("key", "create", "--org", "st-mary", "--kind", "public", "--scopes", "everything"),
        ("key", "create", "--org", "st-mary", "--kind", "public", "--expires", "soon"),
    ):
        assert osler(*usage).code == exits.USAGE, usage
    assert answer("audit", "list")["entries"][0]["action"] == "organization.created"


def test_users_are_made_and_listed_and_a_wrong_address_is_not_shown() -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    of = ("--org", "st-mary")
    made = answer("user", "create", *of, "--email", EMAIL, "--third-party-id", "7")
    assert set(made) == {"user_id", "organization_id", "email", "third_party_id", "created_at"}
    assert answer("user", "list", *of) == {"users": [made]}
    assert EMAIL in succeed(osler("user", "list", *of)).out
    again = refused(errors.ConflictError, "user", "create", *of, "--email", EMAIL.upper(), "--third-party-id", "7")
    wrong = refused(
        errors.InvalidFieldError, "user", "create", *of, "--email", "quill feather", "--third-party-id", "8"
    )
    assert "quill" not in again.lower() + wrong.lower()


def test_a_key_is_printed_once_and_is_switched_off_and_on() -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    of = ("--org", "st-mary")
    user = answer("user", "create", *of, "--email", EMAIL, "--third-party-id", "7")["user_id"]
    made = answer(
        *("key", "create", *of, "--kind", "public", "--scopes", "encounters:read,documents:read"),
        *("--test", "--expires", "2999-01-31T12:00", "--user", user),
    )
    key_id, text = made["key_id"], made.pop("key")
    assert text.startswith("ch_sk_test_")
    assert made["scopes"] == ["documents:read", "encounters:read"]
    assert (made["organization_id"], made["user_id"], made["state"]) == ("st-mary", user, "active")
    assert made["expires_at"] == "2999-01-31T12:00:00+00:00"
    listed = succeed(osler("key", "list", "--json")).out
    assert json.loads(listed) == {"keys": [made]}
    assert text not in listed + succeed(osler("key", "list", *of)).out
    assert answer("key", "disable", key_id)["state"] == "disabled"
    assert answer("key", "enable", key_id)["state"] == "active"
    assert answer("key", "revoke", key_id)["state"] == "revoked"
    refused(errors.ConflictError, "key", "enable", key_id)
    refused(errors.NotFoundError, "key", "revoke", "0" * 24)


def test_the_key_that_was_printed_opens_the_door() -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    # In a process of its own, as the one that serves is another than the one that made the key.
    first, rest = succeed(cli.osler("key", "create", "--org", "st-mary", "--kind", "tenant")).out.split("\n", 1)
    assert "shown this once" in rest

    async def authenticate(core: Core) -> Organization:
        key = await core.access.authenticate(KeyKind.TENANT, first)
        return await core.access.organization(key.organization_id)

    assert run(authenticate).id == "st-mary"
    (key,) = answer("key", "list")["keys"]
    assert key["last_used_at"] is not None, "the use is written when the process ends"


def test_a_key_written_to_a_file_is_for_its_owner_only(tmp_path: Path) -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    target = tmp_path / "key.json"
    past = ("--expires", "2020-01-01")
    done = succeed(osler("key", "create", "--org", "st-mary", "--kind", "tenant", "--json", "-o", target, *past))
    assert "expired already" in done.err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert json.loads(target.read_text())["state"] == "expired"


def test_the_trail_tells_who_did_what_and_shows_what_was_done_to_it(data: Path, tmp_path: Path) -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    answer("org", "create", "St John", "--id", "st-john")
    answer("user", "create", "--org", "st-mary", "--email", EMAIL, "--third-party-id", "7")
    entries = answer("audit", "list")["entries"]
    assert [(each["organization_id"], each["sequence"], each["action"]) for each in entries] == [
        ("st-mary", 2, "user.created"),
        ("st-john", 1, "organization.created"),
        ("st-mary", 1, "organization.created"),
    ]
    assert entries[0]["actor"] == {"kind": "operator", "id": "operator", "origin": "cli"}
    assert len(answer("audit", "list", "--org", "st-mary", "--limit", "1")["entries"]) == 1
    assert answer("audit", "list", "--encounter", "123")["entries"] == []
    assert "user.created" in succeed(osler("audit", "list")).out
    assert [each["action"] for each in answer("audit", "list", "--action", "user.created")["entries"]] == [
        "user.created"
    ]
    second = entries[1]["at"]
    assert answer("audit", "list", "--since", second)["entries"] == entries[:2]
    assert answer("audit", "list", "--since", "2999-01-01")["entries"] == []
    assert osler("audit", "list", "--since", "yesterday").code == 2

    head = tmp_path / "head.json"
    succeed(osler("audit", "head", "st-mary", "-o", head))
    assert json.loads(head.read_text()) == answer("audit", "head", "st-mary")
    whole = answer("audit", "verify", "--head", head)
    assert whole["verified"] is True
    assert {each["organization_id"]: each["entries"] for each in whole["organizations"]} == {
        "st-john": 1,
        "st-mary": 2,
    }

    tamper(data, "UPDATE audit_entries SET actor_id = 'nobody' WHERE organization_id = 'st-mary' AND sequence = 1")
    done = osler("audit", "verify", "--organization", "st-mary", "--json")
    assert done.code == exits.CODES[errors.CorruptedError]
    assert done.is_one_clear_line()
    assert json.loads(done.out)["organizations"] == [
        {
            "organization_id": "st-mary",
            "entries": 2,
            "verified": False,
            "broken": [{"sequence": 1, "fault": "changed"}],
        }
    ]
    succeed(osler("audit", "verify", "--org", "st-john"))


def test_a_trail_that_is_gone_shows_although_nothing_of_it_is_left(data: Path, tmp_path: Path) -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    head = tmp_path / "head.json"
    succeed(osler("audit", "head", "st-mary", "--json", "-o", head))
    for table in ("audit_entries", "audit_heads"):
        tamper(data, f"DELETE FROM {table}")
    assert osler("audit", "verify").code == exits.CODES[errors.CorruptedError]
    tamper(data, "DELETE FROM organizations")
    succeed(osler("audit", "verify"))  # as on a deployment that was never used ...
    done = osler("audit", "verify", "--head", head, "--json")  # ... but for a head that was kept elsewhere
    assert done.code == exits.CODES[errors.CorruptedError]
    assert json.loads(done.out)["organizations"][0]["broken"] == [{"sequence": 1, "fault": "cut off"}]


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("sequence = 'none'", [("st-mary", 0, "changed"), ("st-mary", 2, "missing")]),
        ("sequence = 2.5", [("st-mary", 0, "changed"), ("st-mary", 2, "missing")]),
        ("sequence = x'ff'", [("st-mary", 0, "changed"), ("st-mary", 2, "missing")]),
        ("organization_id = x'ff'", [("ff", 1, "cut off"), ("st-mary", 2, "missing")]),
    ],
)
def test_what_is_no_number_or_id_in_the_trail_is_named_and_stops_no_verification(
    data: Path, statement: str, broken: list[tuple[str, int, str]]
) -> None:
    """A column of SQLite takes whatever is put there; who wrote to the file may not blind the one who looks."""
    succeed(osler("org", "create", "St Mary", "--id", "st-mary"))
    for number in ("1", "2"):
        succeed(osler("user", "create", "--org", "st-mary", "--email", EMAIL, "--third-party-id", number))
    tamper(data, f"UPDATE audit_entries SET {statement} WHERE organization_id = 'st-mary' AND sequence = 2")
    done = osler("audit", "verify", "--json")
    assert (done.code, done.is_one_clear_line()) == (exits.CODES[errors.CorruptedError], True), done.err
    found = [
        (chain["organization_id"], each["sequence"], each["fault"])
        for chain in json.loads(done.out)["organizations"]
        for each in chain["broken"]
    ]
    assert sorted(found) == broken
    succeed(osler("audit", "list"))
    succeed(osler("audit", "list", "--org", "st-mary"))


def test_a_file_that_holds_no_head_is_refused(tmp_path: Path) -> None:
    answer("org", "create", "St Mary", "--id", "st-mary")
    answer("org", "create", "St John", "--id", "st-john")
    head = answer("audit", "head", "st-mary")
    path = tmp_path / "head"
    refused(errors.UnreadableFileError, "audit", "verify", "--head", path)
    refused(errors.UnreadableFileError, "audit", "verify", "--head", tmp_path)
    for content in ("", "{}", "[]", "nonsense", json.dumps(head | {"sequence": "1"}), json.dumps(head | {"mac": 1})):
        path.write_text(content)
        refused(errors.InvalidFieldError, "audit", "verify", "--head", path)
    path.write_text(json.dumps(head))
    refused(errors.InvalidFieldError, "audit", "verify", "--org", "st-john", "--head", path)
    refused(errors.NotFoundError, "audit", "verify", "--org", "nobody")
    refused(errors.NotFoundError, "audit", "head", "nobody")
