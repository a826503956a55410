"""The audio chapter by a client of each description, on a server that hears: uploads, segments, the live text."""

import io
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import av
import httpx
import numpy as np
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from osler.audio.decode import open_recording
from tests.contract import prose_client as prose
from tests.contract.live import PATIENCE, Deployment, Tenant
from tests.contract.prose_client import ID, TIME, Kinds, ProseClient, check
from tests.contract.vendors import ProseVendor, YamlVendor
from tests.contract.yaml_client import YamlClient, operations, resolved, whole
from tests.server_lab import Server

pytestmark = pytest.mark.engine

VISIT = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"
SECONDS: Final = 16
SLICES: Final = 4

UPLOADED: Kinds = {
    "uploaded_audio": {
        "id": ID,
        "index": int,
        "status": re.compile("INITIALIZED"),
        "created_at": TIME,
        "access_url": (str, type(None)),
        "expiry": int,
    }
}
TRANSCRIPT: Kinds = {"transcript": str, "session_id": prose.SESSION_ID, "language_code": str}
RECORDING: Kinds = {
    "id": ID,
    "created_at": TIME,
    "chunks": [
        {
            "id": ID,
            "status": re.compile("IN_PROGRESS|COMPLETE|FAILED"),
            "transcript": str,
            "duration": (int, float),
        }
    ],
}
LIVE: Kinds = {
    "response": {
        "user_uploaded": [RECORDING],
        "live": [RECORDING],
        "backup": [RECORDING],
        "transcript_in_use": (str, type(None)),
        "transcript": str,
    }
}


class HearingDeployment(Deployment):
    """A deployment whose server runs its jobs, with the smallest model."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = Server(self.data, log=folder / "hearing.log", environment={"OSLER_SPEECH_MODEL": "tiny.en"})


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HearingDeployment]:
    deployment = HearingDeployment(tmp_path_factory.mktemp("hearing"))
    with deployment.server:
        yield deployment


@pytest.fixture(scope="module")
def practice(hearing: HearingDeployment) -> Tenant:
    return hearing.tenant("Clinic")


@pytest.fixture(scope="module")
def slices() -> list[bytes]:
    """The visit's beginning as a browser sends it: WebM cut at bytes of no meaning."""
    sound = np.concatenate(list(open_recording(VISIT)))[: SECONDS * 16_000]
    out = io.BytesIO()
    with av.open(out, "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libopus", rate=16_000)
        stream.layout = "mono"
        for start in range(0, len(sound), 320):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 320], "flt", "mono")
            frame.sample_rate, frame.pts = 16_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = out.getvalue()
    edges = [0, *(len(data) * part // SLICES + 37 for part in range(1, SLICES)), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


class AudioOfProse:
    """What the guide's reader writes by hand of recordings."""

    def __init__(self, api: ProseClient) -> None:
        self._http = api.http

    def upload(self, session_id: str, sound: bytes) -> Any:
        files = {"file": ("visit.ogg", sound, "audio/ogg")}
        data = {"start_time": "2026-03-01T09:00:00"}
        answer = _read(self._http.post(f"/sessions/{session_id}/upload-audio", files=files, data=data))
        check(answer, UPLOADED)
        return answer["uploaded_audio"]

    def record(self, session_id: str, pieces: dict[int, bytes]) -> list[int]:
        """Send the pieces in their order and close the recording; return the indexes that are missing."""
        path = f"/sessions/{session_id}/restful-segment-transcription"
        recording_id = _read(self._http.post(path))["recording_id"]
        for index, piece in pieces.items():
            answer = self._http.post(
                f"{path}/{recording_id}:transcribe",
                files={"file": ("blob", piece, "audio/webm;codecs=opus")},
                data={"index": str(index)},
            )
            assert _read(answer) == {"is_success": True}
        answer = _read(self._http.post(f"{path}/{recording_id}:finish"))
        assert answer["is_success"] is True
        missing: list[int] = answer["missing_indexes"]
        return missing

    def transcript(self, session_id: str) -> str:
        answer = _read(self._http.get(f"/sessions/{session_id}/transcript"))
        check(answer, TRANSCRIPT)
        text: str = answer["transcript"]
        return text

    def live(self, session_id: str) -> Any:
        # The guide writes this one path with /open-api in it.
        answer = _read(self._http.get(f"/open-api/sessions/{session_id}/transcript/live"))
        check(answer, LIVE)
        return answer["response"]


def _read(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return answer.json()


@pytest.fixture
def client(hearing: HearingDeployment) -> Iterator[httpx.Client]:
    with hearing.client() as client:
        yield client


def test_the_yamls_client_uploads_a_visit_and_reads_it(
    client: httpx.Client, practice: Tenant, slices: list[bytes]
) -> None:
    vendor = YamlVendor(client)
    vendor.sign_in(practice.key, "yaml@example.org", "yaml")
    api: YamlClient = vendor.api
    visit = vendor.start_visit(None, "appointment-1")
    api.uploadSessionAudio(session_id=visit, files={"file": ("visit.webm", b"".join(slices), "audio/webm")})
    told = api.getSessionTranscript(session_id=visit)
    assert told["session_id"] == visit and _is_the_visit(told["transcript"])
    live = api.getLiveSessionTranscript(session_id=visit)
    assert live["transcript"] == told["transcript"] and live["active_source"] == "USER_UPLOADED"
    assert [chunk["status"] for chunk in live["chunks"]] == ["READY"]
    missed = {"getSessionTranscript": 0, "getLiveSessionTranscript": 0}
    for _, _, operation in operations():
        name = operation["operationId"]
        if name in missed:
            schema = whole(resolved(operation["responses"]["200"]["content"]["application/json"]["schema"]))
            for answer in [value for asked, value in api.answers if asked == name]:
                errors = Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(answer)
                assert [error.message for error in errors] == []
                missed[name] += 1
    assert all(missed.values())


def test_the_proses_client_records_a_visit_in_slices_and_watches_the_words_come(
    client: httpx.Client, practice: Tenant, slices: list[bytes]
) -> None:
    vendor = ProseVendor(client)
    vendor.sign_in(practice.key, "prose@example.org", "prose")
    audio = AudioOfProse(vendor.api)
    visit = vendor.start_visit(None, "appointment-2")
    assert audio.record(visit, {2: slices[2], 0: slices[0], 3: slices[3]}) == [1]
    (recording,) = audio.live(visit)["live"]
    path = f"/sessions/{visit}/restful-segment-transcription/{recording['id']}:transcribe"
    for _ in range(2):
        sent = client.post(path, files={"file": ("blob", slices[1])}, data={"index": "1"})
        assert _read(sent) == {"is_success": True}
    text = audio.transcript(visit)
    assert _is_the_visit(text)
    live = audio.live(visit)
    assert live["transcript"] == text and live["transcript_in_use"] == "live"
    assert [chunk["status"] for chunk in live["live"][0]["chunks"]] == ["COMPLETE"] * SLICES


def test_the_words_of_a_slice_are_there_while_the_visit_goes_on(
    client: httpx.Client, practice: Tenant, slices: list[bytes]
) -> None:
    vendor = ProseVendor(client)
    vendor.sign_in(practice.key, "prose@example.org", "prose")
    visit = vendor.start_visit(None, "appointment-3")
    path = f"/sessions/{visit}/restful-segment-transcription"
    recording_id = _read(client.post(path))["recording_id"]
    audio = AudioOfProse(vendor.api)
    for index in (0, 1):
        sent = client.post(f"{path}/{recording_id}:transcribe", files={"file": slices[index]}, data={"index": index})
        assert _read(sent) == {"is_success": True}
    _until(lambda: all(c["status"] == "COMPLETE" and c["transcript"] for c in audio.live(visit)["live"][0]["chunks"]))


def test_every_answer_is_what_the_served_description_says(
    hearing: HearingDeployment, client: httpx.Client, practice: Tenant, slices: list[bytes]
) -> None:
    vendor = ProseVendor(client)
    vendor.sign_in(practice.key, "prose@example.org", "prose")
    visit = vendor.start_visit(None, "appointment-4")
    path = f"/sessions/{visit}"
    asked = {
        "uploadSessionAudio": client.post(f"{path}/upload-audio?expiry=3600", files={"file": b"".join(slices)}),
        "getSessionTranscript": client.get(f"{path}/transcript"),
        "getLiveSessionTranscript": client.get(f"{path}/transcript/live"),
        "getLiveSessionTranscriptUnderOpenApi": client.get(f"/open-api{path}/transcript/live"),
        "beginRecording": client.post(f"{path}/restful-segment-transcription"),
    }
    speaker = asked["getSessionTranscript"].json()["turns"][0]["speaker"]
    asked["correctSessionTranscript"] = client.patch(f"{path}/transcript", json={"speakers": {speaker: "Nurse"}})
    segments = f"{path}/restful-segment-transcription/{asked['beginRecording'].json()['recording_id']}"
    one: dict[str, Any] = {"files": {"file": slices[0]}, "data": {"index": "0"}}
    asked["transcribeSegment"] = client.post(f"{segments}:transcribe", **one)
    asked["finishRecording"] = client.post(f"{segments}:finish")
    document = httpx.get(f"{hearing.server.url}/openapi/v2/openapi.json", timeout=PATIENCE).json()
    described = {each["operationId"]: each for item in document["paths"].values() for each in item.values()}
    for name, answer in asked.items():
        schema = described[name]["responses"]["200"]["content"]["application/json"]["schema"]
        told = {**schema, "components": document["components"]}
        errors = Draft202012Validator(told, format_checker=FormatChecker()).iter_errors(_read(answer))
        assert [error.message for error in errors] == [], name
    url = asked["uploadSessionAudio"].json()["uploaded_audio"]["access_url"]
    # It names the server's public address; here it is reached at another port.
    served = httpx.get(hearing.server.url + "/media" + url.partition("/media")[2], timeout=PATIENCE)
    assert served.content == b"".join(slices) and served.headers["content-type"] == "audio/webm"


def _is_the_visit(text: str) -> bool:
    """Say whether the text is that of the sample visit's first seconds, by two speakers, one line a turn."""
    speakers = {line.partition(": ")[0] for line in text.splitlines()}
    return speakers == {"Clinician", "Patient"} and len(text.split()) > 20


def _until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)
