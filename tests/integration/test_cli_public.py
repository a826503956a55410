"""``osler public`` and ``osler audit disclosures`` as an operator has them, and what they do in another process."""

import asyncio
import csv
import io
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from osler.access.model import KeyKind, Scope
from osler.access.public import PublicRoute
from osler.audit.model import DEPLOYMENT, OPERATOR, Actor, ActorKind, AuditEvent
from osler.bootstrap import Core
from osler.cli import exits
from osler.cli.core import run
from osler.kernel import errors
from tests.integration.test_cli_access import answer, osler, refused, succeed

EVERY_SCOPE = ",".join(Scope)
ROUTES = [route.value for route in PublicRoute]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Surroundings in which a deployment can be initialised."""
    for name in list(os.environ):
        if name.startswith("OSLER_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "data"
    monkeypatch.setenv("OSLER_DATA", str(folder))
    # The commands run in this process, whose logging belongs to the tests.
    monkeypatch.setattr("osler.logs.configure", lambda level: None)
    return folder


@pytest.fixture
def data(bare: Path) -> Path:
    """A deployment that was just initialised, with an organization."""
    succeed(osler("init"))
    succeed(osler("org", "create", "St Mary", "--id", "st-mary"))
    return bare


def make_key(*options: str, org: str = "st-mary") -> tuple[dict[str, Any], str]:
    done = succeed(osler("key", "create", "--org", org, "--kind", "public", *options, "--json"))
    return json.loads(done.out), done.err


def deployment_actions() -> list[str]:
    return [each["action"] for each in reversed(answer("audit", "list", "--org", DEPLOYMENT)["entries"])]


@pytest.mark.usefixtures("data")
def test_everything_is_off_at_first_and_each_switch_is_one_command(tmp_path: Path) -> None:
    at_first = answer("public", "status")
    assert at_first["enabled"] is False
    assert [(each["route"], each["enabled"]) for each in at_first["routes"]] == [(route, False) for route in ROUTES]
    assert at_first["organizations"] == [{"organization_id": "st-mary", "allowed": False, "usable_keys": 0}]

    assert answer("public", "allow-org", "st-mary")["organizations"][0]["allowed"] is True
    assert answer("org", "show", "st-mary")["public_api"] is True
    one = answer("public", "enable-route", "getPublicDocument")
    assert [each["route"] for each in one["routes"] if each["enabled"]] == ["getPublicDocument"]
    assert all(each["enabled"] for each in answer("public", "enable-route", "all")["routes"])
    less = answer("public", "disable-route", "getPublicDocumentAudioUrl")
    assert [each["route"] for each in less["routes"] if not each["enabled"]] == ["getPublicDocumentAudioUrl"]
    assert answer("public", "api", "on")["enabled"] is True
    for _ in range(2):  # again changes nothing and is no second event
        answer("public", "api", "off")
        answer("public", "disable-route", "all")
        at_last = answer("public", "deny-org", "st-mary")
    assert at_last == at_first
    expected = ["public_route.enabled"] * 5 + ["public_route.disabled", "public_api.enabled", "public_api.disabled"]
    assert deployment_actions() == expected + ["public_route.disabled"] * 4
    updates = [each for each in answer("audit", "list", "--org", "st-mary")["entries"] if "updated" in each["action"]]
    assert [each["detail"] for each in reversed(updates)] == [{"public_api": "true"}, {"public_api": "false"}]
    assert answer("audit", "verify")["verified"] is True

    shown = succeed(osler("public", "status", "-o", tmp_path / "status"))
    assert shown.out == ""
    assert (tmp_path / "status").read_text().startswith("public API  off\n")


@pytest.mark.usefixtures("data")
def test_what_there_is_not_is_refused_and_named() -> None:
    for command in ("enable-route", "disable-route"):
        done = osler("public", command, "getEverything")
        assert done.code == exits.USAGE
        told = " ".join(done.err.replace("│", " ").split())  # as the terminal breaks its lines
        assert all(route in told for route in [*ROUTES, "all"])
    assert osler("public", "api", "perhaps").code == exits.USAGE
    for command in ("allow-org", "deny-org"):
        refused(errors.NotFoundError, "public", command, "nobody")
    assert deployment_actions() == []


@pytest.mark.usefixtures("data")
def test_the_status_counts_the_keys_that_could_read_and_warns_of_what_keeps_all_shut() -> None:
    readers, _ = make_key("--scopes", "encounters:read,documents:read")
    make_key("--scopes", EVERY_SCOPE)
    make_key("--scopes", EVERY_SCOPE, "--test")
    make_key("--scopes", EVERY_SCOPE, "--expires", "2020-01-01")
    make_key()
    user = answer("user", "create", "--org", "st-mary", "--email", "q@example.org", "--third-party-id", "7")["user_id"]
    make_key("--scopes", EVERY_SCOPE, "--user", user)
    assert "the public API as a whole is off" in osler("public", "enable-route", "all").err
    assert "no organization is allowed" in osler("public", "api", "on").err
    told = osler("public", "allow-org", "st-mary", "--json")
    assert told.err == ""
    status = json.loads(told.out)
    assert {each["route"]: each["keys_that_can_read"] for each in status["routes"]} == {
        "listPublicEncounters": 1,
        "getPublicEncounter": 1,
        "getPublicDocument": 2,
        "getPublicDocumentTranscript": 2,
        "getPublicDocumentAudioUrl": 1,
    }
    assert status["organizations"] == [{"organization_id": "st-mary", "allowed": True, "usable_keys": 3}]
    answer("key", "disable", readers["key_id"])
    counts = {each["route"]: each["keys_that_can_read"] for each in answer("public", "status")["routes"]}
    assert counts["getPublicDocument"] == 1
    assert "no route is on" in osler("public", "disable-route", "all").err


@pytest.mark.usefixtures("data")
def test_a_key_that_reads_nothing_as_things_stand_is_made_with_a_warning() -> None:
    _, told = make_key()
    assert "no scope" in told and "osler public api on" in told and "osler public allow-org st-mary" in told
    answer("public", "allow-org", "st-mary")
    _, told = make_key("--scopes", "encounters:read")
    assert "allow-org" not in told and "suffice for no route" in told
    answer("public", "api", "on")
    assert "no route of the public API is on" in make_key("--scopes", EVERY_SCOPE)[1]
    answer("public", "enable-route", "all")
    assert "test keys are refused here" in make_key("--scopes", EVERY_SCOPE, "--test")[1]
    assert make_key("--scopes", EVERY_SCOPE)[1] == ""
    assert succeed(osler("key", "create", "--org", "st-mary", "--kind", "tenant")).err == ""


@pytest.mark.parametrize("setting", ["FILE", "VALUE", "COMMAND"])
def test_the_digest_key_comes_from_a_file_the_environment_or_a_command(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    pepper = "5e" * 32
    if setting == "FILE":
        place = tmp_path / "pepper"
        place.write_text(pepper)
        place.chmod(0o600)
        monkeypatch.setenv("OSLER_DIGEST_KEY_FILE", str(place))
    elif setting == "VALUE":
        monkeypatch.setenv("OSLER_DIGEST_KEY", pepper)
    else:
        monkeypatch.setenv("OSLER_DIGEST_KEY_COMMAND", f"echo {pepper}")
    succeed(osler("init"))
    succeed(osler("org", "create", "St Mary", "--id", "st-mary"))
    key, _ = make_key("--scopes", EVERY_SCOPE)

    async def enter(core: Core) -> str:
        return (await core.access.authenticate(KeyKind.PUBLIC, key["key"])).id

    assert run(enter) == key["key_id"]
    assert not (bare / "keys" / "digest.key").exists()
    # It is lost: whatever is tried in a process that never had it, nobody gets in.
    if setting == "FILE":
        place.unlink()
    elif setting == "VALUE":
        monkeypatch.setenv("OSLER_DIGEST_KEY", "nonsense")
    else:
        monkeypatch.setenv("OSLER_DIGEST_KEY_COMMAND", "false")
    for _ in range(2):
        with pytest.raises(errors.MasterKeyError, match="digest key"):
            run(enter)
    refused(errors.MasterKeyError, "key", "create", "--org", "st-mary", "--kind", "public")
    assert answer("key", "list")["keys"][0]["last_used_at"] is not None  # what needs no digest goes on


# Disclosures


READER = Actor(ActorKind.KEY, "set by each test", "203.0.113.7")


def with_encounter(work: "Callable[[Core, str], Awaitable[None]]") -> str:
    """Make an encounter, do ``work`` with its id, and return that."""

    async def make(core: Core) -> str:
        users = await core.access.users("st-mary")
        owner = users[0] if users else await core.access.create_user(OPERATOR, "st-mary", "q@example.org", "7")
        encounter = await core.encounters.create(OPERATOR, "st-mary", owner.id)
        await work(core, encounter.id)
        return encounter.id

    return run(make)


@pytest.mark.usefixtures("data")
def test_who_saw_an_encounter_is_told_with_key_time_document_route_and_origin(tmp_path: Path) -> None:
    key, _ = make_key("--scopes", EVERY_SCOPE)
    actor = Actor(ActorKind.KEY, key["key_id"], "203.0.113.7")

    async def work(core: Core, encounter_id: str) -> None:
        service = core.public.disclosures
        await service.listed(
            actor, "st-mary", ["1" * 18, encounter_id], route=PublicRoute.LIST_ENCOUNTERS, request_id="r-1"
        )
        await service.read(actor, "st-mary", encounter_id, "d0c", route=PublicRoute.TRANSCRIPT, request_id="r-2")
        user = Actor(ActorKind.USER, "u1", "198.51.100.2")
        at = core.clock.now()
        subject = {"encounter": encounter_id}
        await core.audit.record(AuditEvent("st-mary", user, "note.read", at, subject=subject, detail={"note": "n0te"}))

    encounter_id = with_encounter(work)
    wanted = ("audit", "disclosures", "--encounter", encounter_id)
    found = answer(*wanted)["disclosures"]
    told = ("actor_kind", "actor_id", "origin", "action", "document_id", "route", "request_id")
    assert [tuple(each[name] for name in told) for each in found] == [
        ("key", key["key_id"], "203.0.113.7", "encounters.disclosed", "", "listPublicEncounters", "r-1"),
        ("key", key["key_id"], "203.0.113.7", "transcript.disclosed", "d0c", "getPublicDocumentTranscript", "r-2"),
        ("user", "u1", "198.51.100.2", "note.read", "n0te", "", ""),
    ]  # fmt: skip
    assert [each["key_hint"] for each in found] == [f"...{key['hint']}"] * 2 + [""]
    assert [each["key_organization_id"] for each in found] == ["st-mary"] * 2 + [""]
    assert {each["encounter_id"] for each in found} == {encounter_id}
    assert all(each["time"].endswith("Z") and datetime.fromisoformat(each["time"]) for each in found)
    assert answer(*wanted, "--org", "st-mary")["disclosures"] == found
    assert answer(*wanted, "--org", "st-john")["disclosures"] == []

    target = tmp_path / "seen.csv"
    succeed(osler(*wanted, "--csv", "-o", target))
    written = target.read_bytes()
    assert written.count(b"\r\n") == written.count(b"\n") == 4
    rows = list(csv.DictReader(io.StringIO(written.decode(), newline="")))
    assert rows == [{name: str(value) for name, value in each.items()} for each in found]
    assert "transcript.disclosed" in succeed(osler(*wanted)).out
    assert osler(*wanted, "--csv", "--json").code == exits.USAGE
    assert answer("audit", "verify")["verified"] is True


@pytest.mark.usefixtures("data")
def test_an_erased_encounters_disclosures_still_show_and_an_unknown_id_is_pointed_out() -> None:
    async def work(core: Core, encounter_id: str) -> None:
        service = core.public.disclosures
        await service.read(READER, "st-mary", encounter_id, None, route=PublicRoute.ENCOUNTER, request_id="r-1")

    async def nothing(core: Core, encounter_id: str) -> None:
        pass

    encounter_id = with_encounter(work)
    succeed(osler("encounter", "erase", encounter_id, "--yes"))
    (only,) = answer("audit", "disclosures", "--encounter", encounter_id)["disclosures"]
    assert only["action"] == "encounter.disclosed"
    unseen = succeed(osler("audit", "disclosures", "--encounter", with_encounter(nothing)))
    assert (unseen.out, unseen.err) == ("Nobody saw anything of this encounter.\n", "")
    unknown = succeed(osler("audit", "disclosures", "--encounter", "9" * 18, "--csv"))
    assert unknown.out.count("\n") == 1 and unknown.out.startswith("time,organization_id,")
    assert "there is no encounter of this id" in unknown.err


@pytest.mark.usefixtures("data")
def test_a_spreadsheet_takes_nothing_in_the_csv_for_a_formula_or_another_cell() -> None:
    nasty = ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", " =1", 'a,"b"', "two\r\nlines", "\t=1", "＝1"]

    async def work(core: Core, encounter_id: str) -> None:
        for text in nasty:
            actor = Actor(ActorKind.KEY, text, text)
            await core.public.disclosures.read(
                actor, "st-mary", encounter_id, text, route=PublicRoute.DOCUMENT, request_id=text
            )

    encounter_id = with_encounter(work)
    text = succeed(osler("audit", "disclosures", "--encounter", encounter_id, "--csv")).out
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(nasty)
    for row, meant in zip(rows, nasty, strict=True):
        told = meant if meant.startswith(("a", "two")) else f"'{meant}"
        assert [row[name] for name in ("actor_id", "origin", "document_id", "request_id")] == [told] * 4


# Another process


def test_what_is_shut_is_shut_in_another_process_within_a_second(
    bare: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSLER_DATABASE", empty_database_url)
    succeed(osler("init"))

    async def work(core: Core) -> tuple[dict[str, float], datetime, dict[str, tuple[float, float]]]:
        for name in ("st-mary", "st-john"):
            await core.access.create_organization(OPERATOR, name, name)
            await core.access.update_organization(OPERATOR, name, public_api=True)
        await core.public.access.switch_routes(OPERATOR, True)
        await core.public.access.switch_api(OPERATOR, True)
        tenant, _ = await core.access.create_key(OPERATOR, "st-mary", KeyKind.TENANT)
        user = await core.access.create_user(OPERATOR, "st-mary", "ann@example.org", "7")
        token = (await core.tokens.issue(tenant, user)).text
        made = {}
        for name in ("revoked", "disabled", "organization", "route", "idle"):
            organization = "st-john" if name == "organization" else "st-mary"
            made[name] = await core.access.create_key(OPERATOR, organization, KeyKind.PUBLIC)
        watcher = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.public_watcher",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert watcher.stdin is not None and watcher.stdout is not None
        try:
            asked = {name: text for name, (_, text) in made.items()} | {"token": token, "api": ""}
            watcher.stdin.write(json.dumps(asked).encode() + b"\n")
            assert await watcher.stdout.readline() == b"ready\n"
            ends = datetime.now(UTC) + timedelta(seconds=5)
            _, text = await core.access.create_key(OPERATOR, "st-mary", KeyKind.PUBLIC, expires_at=ends)
            watcher.stdin.write(json.dumps({"expired": text}).encode() + b"\n")
            assert await watcher.stdout.readline() == b"asked\n"
            await asyncio.sleep(1.5)  # what it knows is by then older than what is fresh by itself
            changed = {}
            for name, change in {
                "idle": lambda: core.access.revoke_key(OPERATOR, made["idle"][0].id),
                "revoked": lambda: core.access.revoke_key(OPERATOR, made["revoked"][0].id),
                "disabled": lambda: core.access.disable_key(OPERATOR, made["disabled"][0].id),
                "organization": lambda: core.access.update_organization(OPERATOR, "st-john", public_api=False),
                "route": lambda: core.public.access.switch_route(OPERATOR, PublicRoute.DOCUMENT, False),
                "token": lambda: core.access.rotate_signing_key(OPERATOR, overlap=timedelta(0)),
                "api": lambda: core.public.access.switch_api(OPERATOR, False),
            }.items():
                await change()  # type: ignore[no-untyped-call]
                changed[name] = time.monotonic()
            await asyncio.sleep(max(0.0, changed["idle"] + 1.0 - time.monotonic()))
            watcher.stdin.write(json.dumps(["idle"]).encode() + b"\n")
            last = json.loads(await watcher.stdout.readline())
            assert await watcher.wait() == 0
        finally:
            if watcher.returncode is None:
                watcher.kill()
                await watcher.wait()
        return changed, ends, last

    changed, ends, last = run(work)
    assert "idle" not in last
    open_for = {name: last[name][0] - at for name, at in changed.items() if name != "idle"}
    assert {name: seconds for name, seconds in open_for.items() if seconds >= 1.0} == {}
    assert "expired" not in last or last["expired"][1] < ends.timestamp()
