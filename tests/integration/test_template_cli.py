"""``osler template`` as an operator has it."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from osler.cli import exits
from osler.cli.app import main
from osler.kernel import errors
from osler.notes.template_library import built_in_templates
from tests.integration.cli import Finished

TEXT = '# Plan\n- [plan]\n\n"Signed by hand."\n'


@pytest.fixture(autouse=True)
def organization(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in list(os.environ):
        if name.startswith("OSLER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OSLER_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("osler.logs.configure", lambda level: None)
    answer("init")
    answer("org", "create", "St Mary", "--id", "st-mary")
    return "st-mary"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.txt"
    path.write_text(TEXT)
    return path


def osler(*args: str | Path) -> Finished:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(each) for each in args])
    assert isinstance(ended.value.code, int)
    return Finished(ended.value.code, out.getvalue(), err.getvalue())


def answer(*args: str | Path) -> Any:
    done = osler(*args, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_our_own_are_listed_and_shown_without_a_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA", str(tmp_path / "nowhere"))
    listed = answer("template", "list")["templates"]
    assert [each["template_id"] for each in listed] == [each.id for each in built_in_templates()]
    first = listed[0]
    shown = answer("template", "show", first["template_id"])
    assert shown["structure"]["text"] == shown["text"] == first["text"]
    assert shown["structure"]["sections"][0]["heading"] == "Subjective"
    assert osler("template", "show", first["template_id"]).out == first["text"]
    assert first["name"] in osler("template", "list").out
    assert osler("template", "show", "0" * 24).code == exits.CODES[errors.NotFoundError]


def test_a_template_is_added_shown_replaced_and_removed(file: Path) -> None:
    of = ("--org", "st-mary")
    added = answer("template", "add", file, *of, "--name", "Plan only", "--category", "document", "--author", "Dr Hale")
    assert (added["name"], added["category"], added["author_name"]) == ("Plan only", "DOCUMENT_TEMPLATE", "Dr Hale")
    assert (added["text"], added["problems"]) == (TEXT, [])
    assert osler("template", "show", added["template_id"], *of).out == TEXT
    assert answer("template", "list", *of)["templates"][-1]["template_id"] == added["template_id"]
    assert "Plan only" not in osler("template", "list").out

    again = osler("template", "add", file, *of, "--name", "Plan only")
    assert again.code == exits.CODES[errors.ConflictError]
    replaced = answer("template", "add", file, *of, "--name", "Plan only", "--replace")
    assert replaced["template_id"] != added["template_id"]
    assert answer("template", "show", added["template_id"], *of)["removed_at"] is not None
    assert answer("template", "remove", replaced["template_id"], *of)["removed_at"] is not None
    assert len(answer("template", "list", *of)["templates"]) == len(built_in_templates())


def test_errors_are_shown_by_line_and_column_and_nothing_is_added(file: Path) -> None:
    file.write_text("# Plan\n- [plan\n\n# Next\n[what the weather was]\n()\n")
    done = osler("template", "check", file)
    assert done.code == exits.CODES[errors.InvalidFieldError]
    first, second, third = done.out.splitlines()
    assert first.startswith("line 2, column 3: the [ is not closed")
    assert second.startswith("line 5, column 1: warning: ")
    assert third.startswith("line 6, column 1: an empty instruction")
    assert done.is_one_clear_line()

    told = json.loads(osler("template", "check", file, "--json").out)
    assert told["valid"] is False
    assert [(each["line"], each["column"], each["severity"]) for each in told["problems"]] == [
        (2, 3, "error"),
        (5, 1, "warning"),
        (6, 1, "error"),
    ]
    refused = osler("template", "add", file, "--org", "st-mary", "--name", "Plan")
    assert refused.code == exits.CODES[errors.InvalidFieldError]
    assert [line.split(":")[0] for line in refused.err.splitlines()[:2]] == ["line 2, column 3", "line 6, column 1"]
    assert len(answer("template", "list", "--org", "st-mary")["templates"]) == len(built_in_templates())


def test_a_warning_is_told_and_refuses_nothing(file: Path) -> None:
    file.write_text("[plan]\n[what the weather was]\n")
    checked = osler("template", "check", file)
    assert (checked.code, checked.out.count("\n")) == (0, 1)
    assert "line 2, column 1: warning: " in checked.out
    done = osler("template", "add", file, "--org", "st-mary", "--name", "Weather")
    assert done.code == 0
    assert "line 2, column 1: warning: " in done.err


def test_a_template_in_order_is_said_to_be(file: Path) -> None:
    assert osler("template", "check", file).out == "The template is in order.\n"
    assert answer("template", "check", file) == {"valid": True, "placeholders": 1, "problems": []}


@pytest.mark.parametrize("content", [b"\xff\xfe[\0p\0]\0", b"[plan] \x89PNG", b"[plan]" * 50_000])
def test_a_file_that_is_no_template_is_refused_in_one_line(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for command in (("check", file), ("add", file, "--org", "st-mary", "--name", "X")):
        done = osler("template", *command)
        assert done.code == exits.CODES[errors.InvalidFieldError]
        assert done.is_one_clear_line()
        assert str(file) not in done.err


def test_a_file_with_the_line_ends_and_mark_of_another_system_is_taken(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf# Plan\r\n[plan]\r\n")
    added = answer("template", "add", file, "--org", "st-mary", "--name", "Plan")
    assert added["text"] == "# Plan\r\n[plan]\r\n"


def test_what_is_not_there_is_told(file: Path, tmp_path: Path) -> None:
    missing = osler("template", "check", tmp_path / "missing.txt")
    assert missing.code == exits.CODES[errors.UnreadableFileError]
    assert osler("template", "check", tmp_path).code == exits.CODES[errors.UnreadableFileError]
    nobody = ("--org", "nobody")
    for command in (("list",), ("show", "0" * 24), ("remove", "0" * 24), ("add", file, "--name", "X")):
        assert osler("template", *command, *nobody).code == exits.CODES[errors.NotFoundError], command
    own = built_in_templates()[0].id
    assert osler("template", "remove", own, "--org", "st-mary").code == exits.CODES[errors.ConflictError]
    assert osler("template", "add", file, "--org", "st-mary", "--name", "X", "--category", "poem").code == exits.USAGE
