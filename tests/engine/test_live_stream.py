"""The live transcript on a real server and a real model: words during the visit, the final text after it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osler.access.model import KeyKind
from osler.audio.decode import open_recording
from osler.audit.model import OPERATOR
from osler.bootstrap import initialise, open_core
from osler.config import Settings
from tests.server_lab import Server
from tests.stream_lab import SECOND, StreamClient

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

VISIT = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"


def words(turns: list[dict[str, str]]) -> list[str]:
    return re.findall(r"[a-z]+", " ".join(turn["text"] for turn in turns).lower())


async def test_a_visit_is_read_while_it_is_recorded(tmp_path: Path) -> None:
    samples = np.concatenate(list(open_recording(VISIT)))[: 25 * 16_000]
    sound = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    settings = Settings(data=tmp_path / "data")
    await initialise(settings)
    async with open_core(settings, engine="closed") as core:
        organization = await core.access.create_organization(OPERATOR, "Practice")
        key, _ = await core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        user = await core.access.create_user(OPERATOR, organization.id, "quill@example.org", "ehr-1")
        session = (await core.encounters.create(OPERATOR, organization.id, user.id)).id
        token = (await core.tokens.issue(key, user)).text
    chosen = {"OSLER_SPEECH_MODEL": "tiny.en"}
    with Server(settings.data_path, log=tmp_path / "server.log", environment=chosen) as server:
        client = await StreamClient.connect(server.url, session)
        await client.start(token)
        await client.send(sound[: 20 * SECOND])
        partials: dict[int, Any] = {}
        while not {0, 1} <= partials.keys():  # in whatever order they are done
            partial = await client.until("partial")
            partials[partial["segment"]] = partial
        first = partials[0]
        assert first["status"] == "COMPLETE" and first["end"] <= 10.0 and len(words(first["turns"])) > 5
        await client.send(sound[20 * SECOND :])
        await client.say(type="finish")
        final = await client.until("final")
        assert final["status"] == "COMPLETE" and final["language_code"] == "en"
        heard = words(final["turns"])
        live = [word for partial in client.of("partial") for word in words(partial["turns"])]
        assert len(heard) > 30 and len(set(live) & set(heard)) > 0.7 * len(set(live))
        assert await client.closed() == (1000, "")
        # The model was loaded after the server was ready, whoever asked for it first.
        assert not any(line["level"] == "error" for line in server.lines())
        said = server.text().lower()
        assert not [word for word in set(heard) if len(word) > 7 and word in said]
