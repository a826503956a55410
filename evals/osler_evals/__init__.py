"""Quality of each arrow: audio to transcript, transcript to note."""

import os

# Piper, which speaks the test visits, loads ONNX Runtime; see osler.engines.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
