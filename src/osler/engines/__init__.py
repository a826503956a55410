"""Adapters of the rooms' ports: speech recognition, voice activity, speaker encoder, grounded note writer."""

import os

# ONNX Runtime 1.32 reports its use to its publisher from the moment it is imported, by us or by faster-whisper, and
# keeps a device id in the user's cache folder. A recording's machine talks to nobody unless its operator wants it to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
