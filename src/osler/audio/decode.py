"""Decode any recording that PyAV reads to a stream of mono 16 kHz samples; the decoded file is never held whole."""

import os
import stat
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from osler.audio.containers import is_cut_off, is_wav_without_samples
from osler.audio.model import SAMPLE_RATE, Samples
from osler.kernel.errors import EmptyAudioError, NotAudioError, UnreadableFileError

CHUNK_SECONDS: Final = 1.0
"""Chunks that the stream yields are about this long."""

TRUNCATION_TOLERANCE: Final = 1.0
"""Seconds by which the decoded audio may fall short of the declared length; encoder delay stays far below."""

MAX_DAMAGED_PACKETS: Final = 500
"""Undecodable packets in a row after which the rest is given up (about 10 s of mp3 or Opus)."""

MAX_DAMAGED_SECONDS: Final = 3600.0
"""Seconds of silence, at most, that stand for the damaged parts of a recording. How long they are only the file says,
and a few bytes can say years."""

MEDIA_TYPES: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "audio/mp4",
    "webm": "audio/webm",
    "aac": "audio/aac",
    "amr": "audio/amr",
}
"""Media types by the names of PyAV's formats."""

_SUPPORTED: Final = "Osler reads wav, mp3, ogg, flac, m4a and webm, among others."


class Recording:
    """A recording being decoded: iterate once over its chunks, then read how the decoding went.

    Chunks are float32 arrays of shape [n], mono, -1..1, at 16 kHz. Iterating raises NotAudioError when the
    stream cannot be decoded and EmptyAudioError when it holds no samples.

    ``seconds`` is the audio decoded so far; ``declared`` what the file says of its length (None: nothing);
    ``truncated`` says that the file breaks off before its end; ``damaged_seconds`` counts audio inside the file
    that could not be decoded and was replaced by silence, so that later times stay right.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.seconds = 0.0
        self.declared: float | None = None
        self.truncated = False
        self.damaged_seconds = 0.0
        self._container, self._stream = _open_container(source)
        if self._container.duration and self._container.duration > 0:
            self.declared = self._container.duration / 1_000_000  # AV_TIME_BASE, microseconds

    def __iter__(self) -> Generator[Samples, None, None]:
        with self._source, self._container:
            pending: list[Samples] = []
            held = 0
            for piece in self._pieces():
                pending.append(piece)
                held += len(piece)
                if held >= CHUNK_SECONDS * SAMPLE_RATE:
                    self.seconds += held / SAMPLE_RATE
                    yield np.concatenate(pending)
                    pending, held = [], 0
            if held:
                self.seconds += held / SAMPLE_RATE
                yield np.concatenate(pending)
            if self.seconds == 0:
                raise EmptyAudioError("The file holds no audio samples; record again or give another file.")
            if self.declared is not None and self.declared - self.seconds > TRUNCATION_TOLERANCE:
                self.truncated = True
            if is_cut_off(self._source):
                self.truncated = True

    @property
    def has_video(self) -> bool:
        """Whether moving pictures stand beside the sound. The picture of a cover is none."""
        from av.stream import Disposition

        return any(not stream.disposition & Disposition.attached_pic for stream in self._container.streams.video)

    @property
    def media_type(self) -> str | None:
        """The content's media type, None where none is registered or known."""
        return next((MEDIA_TYPES[name] for name in self._container.format.name.split(",") if name in MEDIA_TYPES), None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for the user about what could not be read; complete once the stream is exhausted."""
        lines = []
        if self.damaged_seconds:
            lines.append(f"{self.damaged_seconds:.1f} s of the recording were damaged and could not be read.")
        if self.truncated:
            lines.append(f"The recording breaks off after {self.seconds:.1f} s; what follows could not be read.")
        return tuple(lines)

    def _pieces(self) -> Iterator[Samples]:
        """Yield the samples of each frame; stop early, with ``truncated`` set, where the file cannot be read on."""
        from av import AudioResampler
        from av.error import FFmpegError

        def new_resampler() -> AudioResampler:
            return AudioResampler(format="fltp", rate=SAMPLE_RATE)

        resampler = new_resampler()
        shape: tuple[object, ...] = ()
        decoded = False
        damaged_run = 0.0
        damaged_packets = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except FFmpegError:
                self.truncated = decoded
                break
            try:
                frames = packet.decode()
            except FFmpegError:
                damaged_packets += 1
                if packet.time_base:
                    damaged_run += max(float((packet.duration or 0) * packet.time_base), 0.0)
                if damaged_packets > MAX_DAMAGED_PACKETS:
                    break
                continue
            for frame in frames:
                if not frame.samples or not frame.sample_rate:
                    continue
                if decoded and damaged_run:
                    yield from self._silence(damaged_run)
                decoded, damaged_run, damaged_packets = True, 0.0, 0
                frame.pts = None  # only the samples count: gaps in time stamps must not reach the resampler
                if (frame.format.name, frame.layout.name, frame.sample_rate) != shape:
                    if shape:
                        yield from _samples(resampler.resample(None))
                        resampler = new_resampler()
                    shape = (frame.format.name, frame.layout.name, frame.sample_rate)
                yield from _samples(resampler.resample(frame))
        if damaged_packets:
            if not decoded:
                raise NotAudioError(f"The audio in this file cannot be decoded. {_SUPPORTED}")
            self.truncated = True
        if decoded:
            yield from _samples(resampler.resample(None))

    def _silence(self, seconds: float) -> Iterator[Samples]:
        """Yield silence for a damaged part that is said to be so long, never much at once."""
        seconds = min(seconds, MAX_DAMAGED_SECONDS - self.damaged_seconds)
        self.damaged_seconds += seconds
        left = round(seconds * SAMPLE_RATE)
        while left:
            length = min(left, round(CHUNK_SECONDS * SAMPLE_RATE))
            yield np.zeros(length, np.float32)
            left -= length


def open_recording(path: Path) -> Recording:
    """Open the recording at ``path``, by its content, whatever its name; of a video, its audio.

    Raises UnreadableFileError (missing, a folder, no permission), EmptyAudioError (zero bytes) and
    NotAudioError (not audio, or video without sound). Messages never hold the path.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableFileError("The path is a folder; give one audio file.")
        if not stat.S_ISREG(mode):
            raise UnreadableFileError("The path is not a regular file; give one audio file.")
        source = path.open("rb")
    except FileNotFoundError:
        raise UnreadableFileError("There is no such file; check the path.") from None
    except PermissionError:
        raise UnreadableFileError("The file may not be read; check its permissions.") from None
    except (OSError, ValueError):
        raise UnreadableFileError("The file cannot be read; check the path and the disk.") from None
    return read_recording(source)


def read_recording(source: BinaryIO) -> Recording:
    """Read a recording from a seekable file of bytes, wherever they lie; iterating to its end closes ``source``.

    Raises EmptyAudioError (zero bytes), NotAudioError (not audio, or video without sound), and what ``source`` raises.
    """
    try:
        return Recording(source)
    except BaseException:
        source.close()
        raise


def _open_container(source: BinaryIO) -> tuple[Any, Any]:
    """Return the PyAV container over ``source`` and its audio stream."""
    import av
    import av.logging
    from av.error import FFmpegError

    av.logging.set_level(None)  # ffmpeg's own messages may quote metadata of the file
    if source.seek(0, os.SEEK_END) == 0:
        raise EmptyAudioError("The file is empty (0 bytes); record again or give another file.")
    source.seek(0)
    try:
        # A file object and not a path: the name decides nothing. No protocol: a playlist must not open other files.
        container = av.open(source, mode="r", metadata_errors="ignore", options={"protocol_whitelist": "none"})
    except (FFmpegError, ValueError):
        if is_wav_without_samples(source):
            raise EmptyAudioError("The file holds no audio samples; record again or give another file.") from None
        raise NotAudioError(f"This is not audio, or it is cut off so that it cannot be decoded. {_SUPPORTED}") from None
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    if not streams:
        container.close()
        raise NotAudioError(f"There is no sound in this file. {_SUPPORTED}")
    return container, streams[0]


def _samples(frames: list[Any]) -> Iterator[Samples]:
    for frame in frames:
        # The mean of the channels: the resampler's own downmix of float samples is louder and can clip.
        samples = frame.to_ndarray().mean(axis=0, dtype=np.float32)
        yield np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
