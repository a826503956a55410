"""``osler init``, ``osler serve`` and ``osler worker`` as an operator has them: real processes on a data folder."""

import hashlib
import json
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from osler import __version__
from osler.api.scribe.app import BASE_PATH
from tests.integration.cli import Finished
from tests.server_lab import PATIENCE, OslerProcess, Server, clean_environment, connections

OK = {"status": "ok"}
MODEL_LIBRARIES = ("ctranslate2", "onnxruntime", "libtorch", "/av.libs/")


def osler(data: Path, *arguments: str, **environment: str) -> Finished:
    done = subprocess.run(
        [sys.executable, "-m", "osler", *arguments],
        env=clean_environment(data, **environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("template") / "data"
    assert osler(data, "init").code == 0
    return data


@pytest.fixture
def made(template: Path, data: Path) -> Path:
    shutil.copytree(template, data)
    return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that made its deployment itself, for tests that only ask it."""
    folder = tmp_path_factory.mktemp("server")
    with Server(folder / "data", log=folder / "server.log") as server:
        yield server


def test_init_makes_what_a_deployment_needs_for_its_owner_alone(data: Path) -> None:
    done = osler(data, "init", "--json")
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert shown["data"] == str(data) and shown["database"] == "sqlite"
    assert shown["master_key"] == {"from": "file", "file": str(data / "keys/master.key")}
    assert set(shown["made"]) == {"data folder", "master key", "digest key", "database", "blobs"}
    for folder in (data, data / "keys", data / "blobs"):
        assert mode(folder) == 0o700
    for file in (data / "keys/master.key", data / "keys/digest.key", data / "osler.db"):
        assert mode(file) == 0o600


def test_init_says_where_the_master_key_is_and_that_it_must_be_kept(data: Path) -> None:
    done = osler(data, "init")
    assert str(data / "keys/master.key") in done.out and "Keep a copy of the master key" in done.out
    assert (data / "keys/master.key").read_text().strip() not in done.out + done.err


def test_a_second_init_changes_nothing(made: Path) -> None:
    before = {path: digest(path) for path in made.rglob("*") if path.is_file()}
    done = osler(made, "init", "--json")
    assert done.code == 0 and json.loads(done.out)["made"] == []
    after = {path: digest(path) for path in made.rglob("*") if path.is_file()}
    assert after == before


def test_two_inits_at_once_make_one_deployment(data: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "osler", "init"], env=clean_environment(data), stdout=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    assert json.loads(osler(data, "init", "--json").out)["made"] == []


def test_init_makes_no_new_key_beside_data_that_another_sealed(made: Path) -> None:
    (made / "keys/master.key").unlink()
    before = digest(made / "osler.db")
    done = osler(made, "init")
    assert done.code == 56 and done.is_one_clear_line(), done.err
    assert not (made / "keys/master.key").exists() and digest(made / "osler.db") == before


def test_a_key_of_the_environment_leaves_no_file_and_is_never_shown(data: Path) -> None:
    key = "ab" * 32
    done = osler(data, "init", "--json", OSLER_MASTER_KEY=key)
    assert done.code == 0, done.err
    assert json.loads(done.out)["master_key"] == {"from": "environment", "file": None}
    assert not (data / "keys/master.key").exists() and key not in done.out + done.err


def test_a_setting_that_cannot_be_used_is_one_line_that_names_it_and_not_its_value(data: Path) -> None:
    for name, value in (("OSLER_SEALED", "hunter2"), ("OSLER_BLOBS", "gs://hunter2"), ("OSLER_DATABASE", "hunter2")):
        done = osler(data, "init", **{name: value})
        assert done.code == 18 and done.is_one_clear_line(), done.err
        assert "hunter2" not in done.err


def test_the_first_start_makes_the_deployment_and_the_server_answers(server: Server) -> None:
    assert server.line("a new deployment was made: keep a copy of its master key apart from this machine")
    assert mode(server.data / "keys/master.key") == 0o600
    assert server.get("/healthz").json() == {"status": "ok"}


WARMS_UP_AFTER = """
import sys
from osler.cli import serve
from osler.cli.app import main
serve.WARM_UP_AFTER = float(sys.argv[1])
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("seconds", "loads"),
    [
        # Those that it lets pass by itself may be over before a busy machine has looked.
        pytest.param(3600, False, id="none"),
        pytest.param(0, True, marks=pytest.mark.engine, id="it would be seen"),
    ],
)
def test_a_server_that_is_ready_has_loaded_no_model(made: Path, tmp_path: Path, seconds: float, loads: bool) -> None:
    program = ("-c", WARMS_UP_AFTER, str(seconds))
    with Server(made, log=tmp_path / "server.log", program=program) as server:
        assert server.get("/healthz").status_code == 200
        deadline = time.monotonic() + PATIENCE
        while True:
            mapped = Path(f"/proc/{server.pid}/maps").read_text()
            loaded = [library for library in MODEL_LIBRARIES if library in mapped]
            if bool(loaded) == loads or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert bool(loaded) == loads, loaded


def test_the_time_of_a_start_is_measured_beside_its_libraries(tmp_path: Path) -> None:
    report = tmp_path / "start.json"
    command = [sys.executable, "-m", "osler_evals.server_start", "--starts", "1", "--json", str(report)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout
    figures = json.loads(report.read_text())
    assert "start / libraries" in shown
    assert figures["computed"][0] > 0 and figures["ratio"] > 0
    assert figures["reached"] is (figures["ready"][0] <= 3.0)


def test_a_server_speaks_to_nobody_but_those_who_ask_it(server: Server) -> None:
    server.get("/readyz")
    server.get("/metrics")
    own = f"0100007F:{server.port:04X}"
    sockets = connections(server.pid)
    assert (own, "00000000:0000") in sockets
    assert {address for address, _ in sockets} == {own}


def test_metrics_are_prometheus_text_without_ids(server: Server) -> None:
    def counted(route: str, status: int) -> float:
        series = f'osler_http_requests_total{{method="GET",route="{route}",status="{status}"}} '
        return sum(float(line[len(series) :]) for line in shown.text.splitlines() if line.startswith(series))

    shown = server.get("/metrics")
    media, unmatched = counted("/media/{blob_id}", 403), counted("unmatched", 404)
    server.get("/media/s0123456789abcdef0123456789abcdef?signature=x")
    server.get("/patients/Zebedee?name=Quux")
    shown = server.get("/metrics")
    assert shown.headers["content-type"].startswith("text/plain; version=")
    text = shown.text
    assert counted("/media/{blob_id}", 403) == media + 1
    assert counted("unmatched", 404) == unmatched + 1
    assert 'osler_jobs{kind="write_note",state="failed"} 0.0' in text
    assert "osler_audio_transcribed_seconds 0.0" in text
    assert f'osler_info{{version="{__version__}"}} 1.0' in text
    assert "Zebedee" not in text and "Quux" not in text and "0123456789abcdef" not in text


def test_nothing_that_a_client_sends_reaches_the_log(server: Server) -> None:
    url = f"{server.url}/Zebedee/Quux?born=1961-04-01"
    answers = [
        httpx.post(
            url, content=b"Zebedee Quux", headers={"X-Request-Id": "Zebedee-Quux", "Referer": url}, timeout=PATIENCE
        ),
        httpx.get(url, headers={"Cookie": "name=Quux", "User-Agent": "Quux"}, timeout=PATIENCE),
    ]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /Quux Zebedee\r\n\r\n")
        connection.recv(1000)
    ids = [answer.headers["x-request-id"] for answer in (*answers, server.get("/healthz"))]
    for request_id in ids:
        server.wait_for_request(request_id)  # logged once the answer is out
    *written, _last = server.text().split("\n")  # the last line may be half written
    requests = {line["request_id"]: line for line in map(json.loads, written) if line["event"] == "request"}
    assert [requests[request_id]["route"] for request_id in ids] == ["unmatched", "unmatched", "/healthz"]
    assert not re.search("Quux|Zebedee|1961-", server.text())


def test_a_request_has_an_id_that_is_the_clients_if_it_cannot_tell_of_anybody(server: Server) -> None:
    given = "5f0f2b64-7d1a-4e0e-9f60-0c1d8a1c7b11"
    assert server.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"] == given
    made = server.get("/healthz", headers={"X-Request-Id": "Zebedee"}).headers["x-request-id"]
    assert made != "Zebedee"
    server.wait_for_request(made)  # logged once the answer is out
    server.wait_for_request(given)


def test_readiness_names_the_part_that_fails_and_comes_back_with_it(data: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    # --no-worker: this process needs no weights.
    with Server(data, "--no-worker", log=tmp_path / "server.log", environment={"OSLER_MODELS": str(models)}) as server:
        ready = server.readiness(database=OK, blobs=OK, queue=OK)
        assert ready.status_code == 200
        assert ready.json() == {
            "status": "ok",
            "checks": {
                "database": {"status": "ok"},
                "blobs": {"status": "ok"},
                "queue": {"status": "ok"},
                "weights": {"status": "not used"},
            },
        }
        (data / "blobs").rename(data / "gone")
        ready = server.readiness(database=OK, blobs={"status": "failed", "error": "BlobsUnavailableError"})
        assert ready.status_code == 503 and ready.json()["status"] == "failed"
        assert ready.json()["checks"]["blobs"] == {"status": "failed", "error": "BlobsUnavailableError"}
        assert ready.json()["checks"]["database"] == {"status": "ok"}
        assert not (data / "blobs").exists()
        assert server.get("/healthz").status_code == 200
        (data / "gone").rename(data / "blobs")
        assert server.readiness(database=OK, blobs=OK, queue=OK).status_code == 200


def test_a_server_that_runs_jobs_is_not_ready_without_weights(data: Path, tmp_path: Path) -> None:
    with Server(data, log=tmp_path / "server.log", environment={"OSLER_MODELS": str(tmp_path)}) as server:
        missing = {"status": "failed", "error": "WeightsIncompleteError"}
        ready = server.readiness(weights=missing)
        assert ready.status_code == 503
        assert ready.json()["checks"]["weights"] == missing
        assert server.line("model weights are missing, jobs will fail: osler models pull")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_in_order(made: Path, tmp_path: Path, number: signal.Signals) -> None:
    with Server(made, log=tmp_path / "server.log") as server:
        port = server.port
        server.signal(number)
        assert server.wait() == 0
        assert server.lines()[-1]["event"] == "stopped"
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_a_worker_runs_beside_a_server_and_stops_in_order(made: Path, tmp_path: Path) -> None:
    with (
        Server(made, log=tmp_path / "server.log") as server,
        OslerProcess("worker", made, log=tmp_path / "worker.log", environment={}) as worker,
    ):
        assert server.readiness(queue=OK).json()["checks"]["queue"] == OK
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0 and worker.lines()[-1]["event"] == "stopped"
        assert server.readiness(queue=OK).json()["checks"]["queue"] == OK


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("worker",), ("jobs", "list")])
def test_a_wrong_master_key_stops_everything_and_changes_nothing(made: Path, command: tuple[str, ...]) -> None:
    (made / "keys/master.key").write_text("cd" * 32 + "\n")
    before = digest(made / "osler.db")
    done = osler(made, *command)
    assert done.code == 56, done.err
    assert done.err.splitlines()[-1].startswith("osler: This data is sealed by the master key ")
    assert "Traceback" not in done.err and "cd" * 8 not in done.err
    assert digest(made / "osler.db") == before


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("worker",), ("init",), ("jobs", "list")])
def test_a_database_of_a_newer_version_is_refused_and_left_alone(made: Path, command: tuple[str, ...]) -> None:
    database = sqlite3.connect(made / "osler.db")
    database.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
    database.commit()
    database.close()
    before = digest(made / "osler.db")
    done = osler(made, *command)
    assert done.code == 54, done.err
    assert "newer version" in done.err.splitlines()[-1] and "Traceback" not in done.err
    assert digest(made / "osler.db") == before


def test_a_command_before_init_says_what_to_run(data: Path) -> None:
    data.mkdir()
    done = osler(data, "jobs", "list")
    assert done.code == 55 and done.is_one_clear_line() and "osler init" in done.err
    assert list(data.iterdir()) == []


def test_a_lost_database_is_not_replaced_by_an_empty_one(made: Path) -> None:
    (made / "osler.db").unlink()
    done = osler(made, "serve", "--port", "0")
    assert done.code == 55, done.err
    assert not (made / "osler.db").exists()


def test_a_blob_folder_that_is_not_there_is_not_replaced_by_an_empty_one(made: Path) -> None:
    (made / "blobs/erasures").rmdir() if (made / "blobs/erasures").exists() else None
    (made / "blobs").rmdir()
    done = osler(made, "serve", "--port", "0")
    assert done.code == 51, done.err
    assert not (made / "blobs").exists()


def test_a_port_that_is_taken_is_one_clear_line(made: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = osler(made, "serve", "--port", port)
    assert done.code == 61 and done.is_one_clear_line(), done.err
    assert f"Port {port}" in done.err and "--port" in done.err


def test_an_address_of_another_machine_is_one_clear_line(made: Path) -> None:
    done = osler(made, "serve", "--host", "192.0.2.1", "--port", "0")
    assert done.code == 61 and done.is_one_clear_line(), done.err


def test_two_processes_of_one_executor_id_are_refused_and_the_first_goes_on(made: Path, tmp_path: Path) -> None:
    named = {"OSLER_EXECUTOR_ID": "alpha"}
    with Server(made, log=tmp_path / "server.log", environment=named) as server:
        for command in (("serve", "--port", "0"), ("worker",)):
            done = osler(made, *command, **named)
            assert done.code == 60, done.err
            assert "executor id" in done.err.splitlines()[-1] and "Traceback" not in done.err
        assert server.readiness(queue=OK).json()["checks"]["queue"] == OK
        # A process that executes nothing needs no id of its own.
        assert osler(made, "jobs", "list", **named).code == 0


def test_listening_beyond_this_machine_is_said_once(made: Path, tmp_path: Path) -> None:
    with Server(made, "--host", "0.0.0.0", log=tmp_path / "server.log") as server:
        warned = [line for line in server.lines() if "reverse proxy with TLS" in line["event"]]
        assert len(warned) == 1 and warned[0]["host"] == "0.0.0.0"
        assert server.get("/healthz").status_code == 200
    with Server(made, log=tmp_path / "other.log") as server:
        assert "reverse proxy" not in server.text()


def test_an_answer_under_way_is_ended_before_the_server_stops(made: Path, tmp_path: Path) -> None:
    organization_id = json.loads(osler(made, "org", "create", "A practice", "--json").out)["organization_id"]
    key = json.loads(osler(made, "key", "create", "--org", organization_id, "--kind", "tenant", "--json").out)["key"]
    with Server(made, log=tmp_path / "server.log") as server:
        who = {"email": "e@practice.example", "third_party_internal_id": "7"}
        token = server.get(f"{BASE_PATH}/jwt", params=who, headers={"Heidi-Api-Key": key}).json()["token"]
        head = (
            f"POST {BASE_PATH}/sessions HTTP/1.1\r\nHost: osler\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            # Half of the body is still to come when the server is told to stop.
            connection.sendall(head.encode() + b"{")
            server.wait_until_read(connection)
            server.signal(signal.SIGTERM)
            server.wait_for("stopping")
            connection.sendall(b"}")
            received = b"".join(iter(lambda: connection.recv(4096), b""))
        assert received.startswith(b"HTTP/1.1 200 ") and b'"session_id":' in received
        assert server.wait() == 0
