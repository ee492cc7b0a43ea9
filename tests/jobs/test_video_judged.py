"""ffprobe and ffmpeg as independent judges of what was kept; they make the sources too."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from clips import Doubled
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="needs ffmpeg and ffprobe (Debian: ffmpeg)"
    ),
]

PICTURES = "testsrc2=size=96x64:rate=30000/1001:duration=1.5"
TONE, OTHER = "sine=440:duration=1.5", "sine=880:duration=1.5"
TAGS = "-color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv"
SOUND = "-map 0 -map 1 -map 2 -c:a aac -b:a 64k -metadata:s:a:0 language=eng -metadata:s:a:1 language=fra"
SOURCES: dict[str, tuple[str, str]] = {
    "b-frames.mp4": ("", f"{SOUND} {TAGS} -c:v libx264 -bf 3 -metadata title=one"),
    "timecode.mov": ("", f"{SOUND} {TAGS} -c:v libx264 -timecode 01:00:00:00"),
    "prores.mov": ("", f"-map 0 -map 1 -c:a pcm_s16le {TAGS} -c:v prores_ks -profile:v 3 -pix_fmt yuv422p10le"),
    "several.mkv": ("", f"{SOUND} {TAGS} -c:v libx264 -map 3 -c:s srt -metadata:s:s:0 language=deu"),
    "broadcast.ts": ("", f"{SOUND} {TAGS} -c:v libx264 -bf 2"),
    "web.webm": ("", f"-map 0 -map 1 -c:a libopus {TAGS} -c:v libvpx-vp9 -b:v 0 -crf 30 -cpu-used 8"),
    "hevc10.mkv": ("", f"-map 0 -map 1 -c:a flac {TAGS} -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le"),
    "full.mp4": ("-vf format=yuvj444p", "-map 0 -map 1 -c:a aac -c:v libx264 -color_range pc -colorspace smpte170m"),
    "variable.mkv": (
        r"-vf select='not(mod(n\,3))+not(mod(n\,7))' -fps_mode vfr",
        f"{SOUND} {TAGS} -c:v libx264",
    ),
    "late.mp4": ("", f"{SOUND} {TAGS} -c:v libx264 -output_ts_offset 3"),
    "sar.mkv": ("-vf setsar=16/11", f"-map 0 -map 1 -c:a ac3 {TAGS} -c:v libx264"),
    "flash.flv": ("", "-map 0 -map 1 -c:a aac -c:v libx264"),
}
STREAM_FACTS = (
    *("codec_type", "codec_name", "profile", "sample_rate", "channels", "channel_layout", "time_base"),
    *("sample_aspect_ratio", "pix_fmt", "color_range", "color_space", "color_transfer", "color_primaries"),
    *("chroma_location", "field_order", "bits_per_raw_sample"),
)


def make(path: Path, filters: str, options: str) -> Path:
    texts = path.with_name("texts.srt")
    texts.write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n\n2\n00:00:01,000 --> 00:00:01,400\nagain\n")
    inputs = ["-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", TONE, "-f", "lavfi", "-i", OTHER, "-i", str(texts)]
    command = ["ffmpeg", "-v", "error", *inputs, *filters.replace("'", "").split(), *options.split(), str(path)]
    subprocess.run(command, check=True)
    return path


def probed(path: Path, *what: str) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-of", "json", *what, str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def times(path: Path, kind: str) -> list[Fraction]:
    """Return the times of a stream's packets, sorted, in seconds."""
    stream = probed(path, "-select_streams", f"{kind}:0", "-show_entries", "stream=time_base")["streams"][0]
    packets = probed(path, "-select_streams", f"{kind}:0", "-show_entries", "packet=pts")["packets"]
    return sorted(int(packet["pts"]) * Fraction(stream["time_base"]) for packet in packets)


def copied_sum(path: Path, stream: int) -> str:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", SOURCES)
def test_ffprobe_finds_everything_again(tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, *SOURCES[name])
    target = tmp_path / f"large-{name}"
    run = VideoRun(source, target, VideoSettings(EnlargeOptions(engine=Doubled()), preset=_quick(name)))
    run.run()
    before, after = (probed(path, "-show_streams", "-show_format") for path in (source, target))
    print(name, run.warnings, run.muxed.kept)
    assert [stream["codec_type"] for stream in after["streams"]] == [
        stream["codec_type"] for stream in before["streams"]
    ]
    for old, new in zip(before["streams"], after["streams"], strict=True):
        facts = STREAM_FACTS if old["codec_type"] != "video" else [one for one in STREAM_FACTS if one != "profile"]
        assert {key: new.get(key) for key in facts} == {key: old.get(key) for key in facts}
        assert new["disposition"] == old["disposition"]
        assert new.get("tags", {}).get("language") == old.get("tags", {}).get("language")
        if old["codec_type"] == "video":
            assert (new["width"], new["height"]) == (2 * old["width"], 2 * old["height"])
        elif old["codec_type"] in ("audio", "subtitle"):
            assert copied_sum(target, new["index"]) == copied_sum(source, old["index"])
    assert times(target, "v") == times(source, "v")
    counted = probed(target, "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames")
    assert int(counted["streams"][0]["nb_read_frames"]) == len(times(source, "v"))
    assert before["format"].get("tags", {}).get("title") == after["format"].get("tags", {}).get("title")


def kinds(found: dict[str, Any]) -> list[str]:
    return [stream["codec_type"] for stream in found["streams"]]


def _quick(name: str) -> str | None:
    return {"prores.mov": None, "web.webm": "8"}.get(name, "ultrafast")
