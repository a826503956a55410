"""Recordings of every kind come out as the same stream of samples, and broken ones are refused in one clear line."""

import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from osler.audio.decode import Recording, open_recording
from osler.kernel.errors import EmptyAudioError, InputError, NotAudioError, UnreadableFileError

SECONDS = 12
SECRET = "Jane-Doe-visit"

# container, codec, sampling rate (Hz), channel layout
FORMATS = {
    "wav": ("wav", "pcm_s16le", 16_000, "mono"),
    "wav-8k": ("wav", "pcm_s16le", 8_000, "mono"),
    "wav-stereo-96k": ("wav", "pcm_s24le", 96_000, "stereo"),
    "flac": ("flac", "flac", 44_100, "stereo"),
    "mp3": ("mp3", "libmp3lame", 22_050, "stereo"),
    "ogg-opus": ("ogg", "libopus", 48_000, "mono"),
    "ogg-flac": ("ogg", "flac", 32_000, "mono"),
    "m4a": ("ipod", "aac", 44_100, "stereo"),
    "webm": ("webm", "libopus", 48_000, "stereo"),
}
BREAKABLE = ["wav", "flac", "mp3", "ogg-opus", "webm"]


def write_tone(path: Path, kind: str, seconds: float = SECONDS, hertz: float = 440.0) -> Path:
    """Write a tone that is silent in its first half."""
    container, codec, rate, layout = FORMATS[kind]
    time = np.arange(int(seconds * rate)) / rate
    tone = (0.5 * np.sin(2 * np.pi * hertz * time) * (time >= seconds / 2)).astype(np.float32)
    channels = 2 if layout == "stereo" else 1
    with av.open(str(path), "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.layout = layout
        whole = av.AudioFrame.from_ndarray(np.stack([tone] * channels), format="fltp", layout=layout)
        whole.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format or "s16", layout=layout, rate=rate)
        fifo = av.AudioFifo()
        for converted in resampler.resample(whole):
            fifo.write(converted)
        while (frame := fifo.read(stream.codec_context.frame_size or 1024, partial=True)) is not None:
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def decoded(path: Path) -> tuple[NDArray[np.float32], Recording]:
    recording = open_recording(path)
    return np.concatenate(list(recording)), recording


def power_at(samples: NDArray[np.float32], hertz: float) -> float:
    """Return the amplitude of ``samples`` at a frequency."""
    time = np.arange(len(samples)) / 16_000
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * hertz * time))))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_becomes_the_same_mono_16_khz_samples_whatever_its_name(kind: str, tmp_path: Path) -> None:
    samples, recording = decoded(write_tone(tmp_path / "named.txt", kind))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    half = len(samples) // 2
    assert power_at(samples[half + 3200 : -3200], 440) == pytest.approx(0.5, rel=0.1)
    assert np.abs(samples[: half - 3200]).max() < 0.02  # the time axis stands
    assert not recording.truncated and recording.warnings == ()
    assert recording.seconds == pytest.approx(len(samples) / 16_000)


def test_a_long_file_is_streamed_in_small_chunks(tmp_path: Path) -> None:
    chunks = [len(chunk) for chunk in open_recording(write_tone(tmp_path / "a", "flac", seconds=90))]
    assert len(chunks) > 60
    assert max(chunks) <= 2 * 16_000


def test_sound_of_a_video_is_used(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=16_000)
        audio.layout = "mono"
        for _ in range(20):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.full((1, 32_000), 9000, np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        out.mux(audio.encode(frame))
    assert len(decoded(path)[0]) == 32_000


@pytest.mark.parametrize("kind", BREAKABLE)
def test_a_file_that_breaks_off_yields_what_can_be_read_and_says_where_it_ends(kind: str, tmp_path: Path) -> None:
    data = write_tone(tmp_path / "whole", kind).read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * 0.75)])
    samples, recording = decoded(tmp_path / "cut")
    assert recording.truncated
    assert 4 < recording.seconds < SECONDS - 1
    assert len(samples) == round(recording.seconds * 16_000)
    assert recording.warnings == (
        f"The recording breaks off after {recording.seconds:.1f} s; what follows could not be read.",
    )


def test_damage_in_the_middle_does_not_lose_what_follows(tmp_path: Path) -> None:
    data = bytearray(write_tone(tmp_path / "whole", "mp3").read_bytes())
    middle = len(data) // 3
    data[middle : middle + 400] = np.random.default_rng(4).bytes(400)
    (tmp_path / "hurt").write_bytes(data)
    samples, _ = decoded(tmp_path / "hurt")
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.5)
    assert power_at(samples[-4 * 16_000 : -3200], 440) > 0.4


def missing(folder: Path) -> Path:
    return folder / SECRET


def a_folder(folder: Path) -> Path:
    (folder / SECRET).mkdir()
    return folder / SECRET


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / SECRET)
    return folder / SECRET


def holding(content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / SECRET).write_bytes(content)
        return folder / SECRET

    return make


def a_header_without_samples(folder: Path) -> Path:
    with wave.open(str(folder / SECRET), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
    return folder / SECRET


def a_silent_film(folder: Path) -> Path:
    with av.open(str(folder / SECRET), "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    return folder / SECRET


def half_an_m4a(folder: Path) -> Path:
    data = write_tone(folder / "whole", "m4a").read_bytes()
    return holding(data[: len(data) // 2])(folder)


def a_playlist(folder: Path) -> Path:
    """A playlist must not make the decoder open another file."""
    other = write_tone(folder / "other.mp3", "mp3")
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:12", "#EXTINF:12,", other.as_uri(), "#EXT-X-ENDLIST", ""]
    return holding("\n".join(lines).encode())(folder)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (missing, UnreadableFileError),
        (a_folder, UnreadableFileError),
        (a_pipe, UnreadableFileError),
        (holding(b""), EmptyAudioError),
        (a_header_without_samples, EmptyAudioError),
        (holding(b"These are the words of a visit.\n" * 50), NotAudioError),
        (holding(np.random.default_rng(3).bytes(200_000)), NotAudioError),
        (holding(b"%PDF-1.7\n" + bytes(5000)), NotAudioError),
        (a_silent_film, NotAudioError),
        (half_an_m4a, NotAudioError),
        (a_playlist, NotAudioError),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line_that_names_no_file(
    make: Callable[[Path], Path], error: type[InputError], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    capfd.readouterr()
    with pytest.raises(error) as caught:
        list(open_recording(path))
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    assert SECRET not in message and str(tmp_path) not in message
    assert capfd.readouterr() == ("", "")


def broken_with_a_gap(path: Path, seconds: float) -> Path:
    """Write 2 s of sound of which one packet is damaged and, as the file says, lasts for so many ``seconds``."""
    with av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream("aac", rate=16_000)
        packets = []
        for index in range(32):
            noise = np.random.default_rng(index).uniform(-0.1, 0.1, (1, 1024)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, index * 1024
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for index, packet in enumerate(packets):
            if index > 16:
                packet.pts += round(seconds / packet.time_base)
                packet.dts += round(seconds / packet.time_base)
            elif index == 16:
                damaged = av.Packet(b"\xff" * 7)
                damaged.stream, damaged.time_base = stream, packet.time_base
                damaged.pts, damaged.dts, damaged.duration = packet.pts, packet.dts, packet.duration
                packet = damaged
            out.mux(packet)
    return path


@pytest.mark.parametrize(("said", "silence"), [(60, 60), (20_000, 3600)])
def test_a_damaged_part_is_silence_a_little_at_a_time_and_never_for_years(
    tmp_path: Path, said: float, silence: float
) -> None:
    recording = open_recording(broken_with_a_gap(tmp_path / "visit", said))
    lengths = [len(chunk) / 16_000 for chunk in recording]
    assert recording.damaged_seconds == pytest.approx(silence, abs=0.2)
    assert sum(lengths) == pytest.approx(silence + 2, abs=0.3)
    assert max(lengths) < 3
