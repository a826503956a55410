"""The promise that engines report to nobody: libraries that would are told not to before they are loaded."""

import os
import subprocess
import sys
from pathlib import Path


def test_loading_the_speech_libraries_leaves_no_trace_in_the_users_folders(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    code = (
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from osler.engines.silero import SileroSpeechDetector\n"
        "import osler.engines.whisper, faster_whisper\n"
        "SileroSpeechDetector().probabilities(np.zeros(16_000, np.float32))\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "HOME": str(home), "TMPDIR": str(temporary)},
        check=True,
        timeout=300,
    )
    assert [path.name for folder in (home, temporary) for path in folder.rglob("*") if path.is_file()] == []
