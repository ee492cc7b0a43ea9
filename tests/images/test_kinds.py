"""Odd files, a kind at a time: what they say is kept or named, and what they are is never mistaken."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms
from test_carried import avif, need, run, slopes, tags_of, told, wide_gamut, with_chunks

from rlfn.errors import PictureError
from rlfn.images import xmp
from rlfn.images.carried import fate
from rlfn.images.exif import PREFIX, Turn
from rlfn.images.files import FORMATS, WRITABLE, Metadata, Picture, read_picture, write_picture
from rlfn.images.picture import Text
from rlfn.images.stated import StatedColor

PIXELS = np.asarray(slopes())


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image or slopes()).save(stream, "JPEG", **options)
    return stream.getvalue()


def segment(code: int, body: bytes) -> bytes:
    return b"\xff" + bytes((code,)) + struct.pack(">H", 2 + len(body)) + body


def with_segment(code: int, body: bytes) -> bytes:
    data = jpeg()
    return data[:2] + segment(code, body) + data[2:]


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, metadata=None, **options)
    return stream.getvalue()


def encoded(picture: Picture, format: str) -> bytes:
    stream = io.BytesIO()
    write_picture(picture, stream, format=format)
    return stream.getvalue()


# What is named because it is lost


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (jpeg() + jpeg(), "further pictures"),
        (jpeg() + b"\0\0\0\x18ftypmp42" + bytes(90), "the appended video"),
        (jpeg() + b"SEFT" * 9, "36 bytes behind the end"),
        (with_segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumbxxxx"), "content credentials"),
        (with_segment(0xE5, b"RMETA\0abc"), "JPEG segment APP5 (RMETA)"),
        (with_segment(0xED, b"Photoshop 3.0\x008BIM\x07\xd0\0\0\0\0\0\2xx"), "Photoshop paths"),
        (jpeg() + bytes(200), ""),
    ],
)
def test_what_a_jpeg_file_loses_is_named(data: bytes, words: str) -> None:
    warnings = read_picture(data).warnings
    assert words in "".join(warnings)
    assert bool(warnings) == bool(words)


@pytest.mark.parametrize("name", [b"tIME", b"bKGD", b"caBX", b"sPLT", b"prVt"])
def test_a_png_chunk_that_is_lost_is_named(name: bytes, tmp_path: Path) -> None:
    path = with_chunks(tmp_path, "a.png", (name, bytes(7)))
    expected = "content credentials" if name == b"caBX" else f"PNG chunk {name.decode()}"
    assert expected in read_picture(path).warnings[0]


def test_tiff_tags_that_are_lost_are_named() -> None:
    data = tiff(PIXELS, photometric="rgb", extratags=[(65_000, "s", 0, "x", True), (37_724, "B", 2, (1, 2), True)])
    assert read_picture(data).warnings == ("dropped: Photoshop layers, TIFF tag 65000",)


# Texts


def test_texts_of_every_kind_stay_in_png(tmp_path: Path) -> None:
    path = with_chunks(
        tmp_path, "a.png",
        (b"tEXt", b"Title\0caf\xe9"), (b"zTXt", b"Author\0\0" + zlib.compress(b"somebody")),
        (b"iTXt", b"Comment\0\1\0ja\0\0" + zlib.compress("猫".encode())),
    )  # fmt: skip
    picture = read_picture(path)
    assert picture.metadata.texts == (Text("Title", "café"), Text("Author", "somebody"), Text("Comment", "猫", "ja"))
    assert read_picture(encoded(picture, "png")).metadata.texts == picture.metadata.texts
    assert Image.open(io.BytesIO(encoded(picture, "png"))).text == {
        "Title": "café",
        "Author": "somebody",
        "Comment": "猫",
    }


def test_texts_that_unpack_to_more_than_is_sound_are_dropped(tmp_path: Path) -> None:
    bomb = (b"zTXt", b"k\0\0" + zlib.compress(bytes(64 << 20), 9))
    picture = read_picture(with_chunks(tmp_path, "a.png", bomb, bomb))
    assert picture.metadata.texts == ()
    assert "texts of more than 16 MB" in picture.warnings[0]


def test_a_jpeg_comment_stays_one_and_is_one_in_png(tmp_path: Path) -> None:
    picture = read_picture(jpeg(comment="a comment"))
    (tmp_path / "a.jpg").write_bytes(encoded(picture, "jpg"))
    (tmp_path / "a.png").write_bytes(encoded(picture, "png"))
    found = tags_of(tmp_path / "a.jpg", tmp_path / "a.png")
    assert found[0]["File:Comment"] == found[1]["PNG:Comment"] == "a comment"


def test_a_text_leaves_a_comment_in_exif_alone(tmp_path: Path) -> None:
    exif = read_picture(told(tmp_path, "a.jpg", "-UserComment=mine", "-Make=M")).metadata.exif
    picture = Picture(PIXELS, Metadata(exif=exif, texts=(Text("parameters", "yours"),)))
    assert write_picture(picture, tmp_path / "b.webp") == (
        "texts dropped: WebP has no place for them, and EXIF has a comment already",
    )
    assert write_picture(picture, tmp_path / "b.jpg") == ()
    webp, jpg = tags_of(tmp_path / "b.webp", tmp_path / "b.jpg")
    assert webp["EXIF:UserComment"] == jpg["EXIF:UserComment"] == "mine"
    assert jpg["File:Comment"] == "parameters: yours"


@pytest.mark.parametrize("text", ["plain", "猫 and ü"])
@pytest.mark.parametrize("make", ["", "-Make=M"])
def test_a_text_goes_into_exif(make: str, text: str, tmp_path: Path) -> None:
    picture = read_picture(told(tmp_path, "a.jpg", *([make] if make else ["-Copyright="])))
    texts = (Text("parameters", text),)
    write_picture(replace(picture, metadata=replace(picture.metadata, texts=texts)), tmp_path / "b.webp")
    found = tags_of(tmp_path / "b.webp")[0]
    assert found["EXIF:UserComment"] == text
    assert found.get("EXIF:Make") == ("M" if make else None)


# EXIF in odd places


def _profile(block: bytes) -> tuple[bytes, bytes]:
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n"
    return b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text.encode())


@pytest.mark.parametrize("place", ["late", "raw profile"])
def test_exif_of_a_png_is_found_wherever_it_stands(place: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    block = exif.tobytes()
    one = (b"eXIf", block.removeprefix(PREFIX)) if place == "late" else _profile(block)
    picture = read_picture(with_chunks(tmp_path, "a.png", one, late=place == "late"))
    np.testing.assert_array_equal(picture.pixels, np.rot90(PIXELS, -1))
    assert b"Maker" in (picture.metadata.exif or b"")


def test_resolutions_in_exif_turn_with_the_picture(tmp_path: Path) -> None:
    path = told(tmp_path, "a.jpg", "-Orientation#=6", "-XResolution=300", "-YResolution=150", "-ResolutionUnit=inches")
    write_picture(read_picture(path), tmp_path / "b.jpg")
    found = tags_of(tmp_path / "b.jpg")[0]
    assert (found["EXIF:XResolution"], found["EXIF:YResolution"]) == (150, 300)
    assert (found["JFIF:XResolution"], found["JFIF:YResolution"]) == (150, 300)


def test_sizes_and_panoramas_in_xmp_fit_the_new_picture(tmp_path: Path) -> None:
    path = told(
        tmp_path, "a.jpg", "-XMP-exif:ExifImageWidth=40", "-XMP-tiff:ImageHeight=30",
        "-XMP-GPano:FullPanoWidthPixels=80", "-XMP-GPano:CroppedAreaTopPixels=6", "-XMP-GPano:PoseHeadingDegrees=40",
    )  # fmt: skip
    picture = read_picture(path)
    write_picture(replace(picture, pixels=PIXELS.repeat(3, 0).repeat(3, 1)), tmp_path / "b.jpg")
    found = tags_of(tmp_path / "b.jpg")[0]
    names = ("ExifImageWidth", "ImageHeight", "FullPanoWidthPixels", "CroppedAreaTopPixels", "PoseHeadingDegrees")
    assert [found[f"XMP:{name}"] for name in names] == [120, 90, 240, 18, 40]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_faces_in_xmp_turn_with_the_picture(orientation: int, tmp_path: Path) -> None:
    """Where a face is said to be there is the one dark block, in the file as it is stored and in the upright one."""
    image = slopes().convert("L").point(lambda _: 255)
    image.paste(0, (4, 6, 12, 10))
    path = told(
        tmp_path, "a.png", f"-Orientation#={orientation}", "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=40,H=30,"
        "Unit=pixel},RegionList=[{Area={X=0.2,Y=0.26666667,W=0.2,H=0.13333333,Unit=normalized},Type=Face}]}",
        image=image,
    )  # fmt: skip
    picture = read_picture(path)
    larger = replace(picture, pixels=np.ascontiguousarray(picture.pixels.repeat(2, 0).repeat(2, 1)))
    write_picture(larger, tmp_path / "b.png")
    found = json.loads(run(need("exiftool", "libimage-exiftool-perl"), "-j", "-n", "-struct", tmp_path / "b.png"))[0]
    applied = found["RegionInfo"]["AppliedToDimensions"]
    area = found["RegionInfo"]["RegionList"][0]["Area"]
    high, wide = larger.pixels.shape
    assert (applied["W"], applied["H"]) == (wide, high)
    rows, columns = np.nonzero(larger.pixels == 0)
    dark = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    sides = area["W"] * wide, area["H"] * high
    left, top = area["X"] * wide - sides[0] / 2, area["Y"] * high - sides[1] / 2
    assert (left, top, left + sides[0], top + sides[1]) == pytest.approx(dark, abs=0.01)


def test_faces_that_are_written_as_attributes_turn_too() -> None:
    packet = (
        b"<mwg-rs:AppliedToDimensions stDim:w='40' stDim:h='30'/><mwg-rs:Area stArea:x='0.25' stArea:y=\"0.5\""
        b" stArea:w='0.1' stArea:h='0.2'/><mwg-rs:Area stArea:d='1'/>"
    )
    turned = xmp.reset(packet, Turn((40, 30), (60, 80), 6))
    assert turned == (
        b"<mwg-rs:AppliedToDimensions stDim:w='60' stDim:h='80'/><mwg-rs:Area stArea:x='0.5' stArea:y=\"0.25\""
        b" stArea:w='0.2' stArea:h='0.1'/><mwg-rs:Area stArea:d='1'/>"
    )


DESCRIPTION = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="A camera"'
    b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
    b' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
    b' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"%s>%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)
ATTRIBUTES = DESCRIPTION % (
    b' hdrgm:Version="1.0" GCamera:MotionPhoto="1"',
    b"<Container:Directory><rdf:Seq>"
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Length="740"/></rdf:li>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto" Item:Length="99"/></rdf:li>'
    b"</rdf:Seq></Container:Directory>",
)
ELEMENTS = DESCRIPTION % (
    b"",
    b"<hdrgm:Version>1.0</hdrgm:Version><hdrgm:GainMapMax><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></hdrgm:GainMapMax>"
    b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto><Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'>"
    b"<Container:Item rdf:parseType='Resource'><Item:Semantic>GainMap</Item:Semantic><Item:Length>740</Item:Length>"
    b"</Container:Item></rdf:li></rdf:Seq></Container:Directory>",
)


@pytest.mark.parametrize("packet", [ATTRIBUTES, ELEMENTS], ids=["attributes", "elements"])
@pytest.mark.parametrize("format", [name for name in WRITABLE if fate(FORMATS[name], "xmp") == "kept"])
def test_xmp_does_not_announce_what_followed_the_picture(packet: bytes, format: str, tmp_path: Path) -> None:
    picture = read_picture(with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) + jpeg())
    assert any("gain map" in warning for warning in picture.warnings)
    path = tmp_path / f"a.{format}"
    write_picture(picture, path)
    tags = json.loads(run(need("exiftool", "libimage-exiftool-perl"), "-j", "-n", "-XMP:all", path))[0]
    del tags["SourceFile"]
    assert tags == {"CreatorTool": "A camera", "MotionPhoto": 0}


def test_whitespace_in_xmp_costs_nothing() -> None:
    packet = b"<rdf:RDF>" + b" " * 400_000 + b"<rdf:Description\n xmpNote:HasExtendedXMP='0'/>"
    joined = xmp.merged(packet + b"</rdf:RDF>", b"<rdf:RDF>more</rdf:RDF>")
    assert joined == packet.replace(b" xmpNote:HasExtendedXMP='0'", b"") + b"more</rdf:RDF>"


def test_xmp_that_is_cut_off_within_a_directory_stays() -> None:
    packet = b"<hdrgm:Version/><Container:Directory><rdf:Seq>"
    assert xmp.reset(packet, Turn((1, 1), (1, 1))) == b"<Container:Directory><rdf:Seq>"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("kind", ["own", "many", "huge"])
def test_exif_tables_without_an_end_cost_nothing(kind: str, format: str) -> None:
    pointer = struct.pack("<HHII", 0x8769, 4, 1, 8)
    count = {"own": 1, "many": 4000, "huge": 5200}[kind]
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + pointer * count + bytes(4)
    stream = io.BytesIO()
    slopes().save(stream, format, exif=PREFIX + block)
    picture = read_picture(stream.getvalue())
    assert picture.metadata.exif is None
    assert "damaged EXIF" in "".join(picture.warnings)


def test_frames_beyond_the_first_of_a_webp_cost_nothing() -> None:
    stream = io.BytesIO()
    slopes().save(stream, "WEBP", lossless=True)
    one = stream.getvalue()[12:]
    sides = (39).to_bytes(3, "little") + (29).to_bytes(3, "little")
    frame = b"ANMF" + struct.pack("<I", 16 + len(one)) + bytes(6) + sides + bytes((10, 0, 0, 0)) + one
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x06\0\0\0" + sides + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += frame * 50_000 + b"XMP \x04\0\0\0<x/>"
    picture = read_picture(b"RIFF" + struct.pack("<I", len(body)) + body)
    np.testing.assert_array_equal(picture.pixels[..., :3], PIXELS)
    assert picture.warnings == ("first of 50000 frames",)
    assert picture.metadata.xmp == b"<x/>"


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("clear", [False, True])
def test_transparency_of_later_frames_is_not_the_first_one_s(clear: bool, gray: bool) -> None:
    first = Image.new("RGBA", (40, 30), (9, 9, 9, 255) if gray else (200, 90, 9, 255))
    later = Image.new("RGBA", (40, 30))
    later.paste((99, 99, 99, 255), (3, 3, 9, 9))
    frames, stream = (later, first) if clear else (first, later), io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=50, disposal=2)
    back = read_picture(stream.getvalue())
    expected = np.asarray(frames[0])
    np.testing.assert_array_equal(back.pixels, expected if clear else expected[..., :3])
    assert write_picture(back, io.BytesIO(), format="jpg") == (
        ("transparency flattened over white: JPEG has none",) if clear else ()
    )


# Colours


@pytest.mark.parametrize(("codes", "name"), [("12/13/1", (12, 13)), ("9/16/9", (9, 16)), ("1/13/6", (1, 13))])
def test_code_points_of_avif_are_read(codes: str, name: tuple[int, int], tmp_path: Path) -> None:
    assert read_picture(avif(tmp_path, "a.avif", "--cicp", codes)).metadata.color == StatedColor(name)


def test_a_premultiplied_avif_has_its_own_colours(tmp_path: Path) -> None:
    image = slopes("RGBA")
    image.putalpha(128)
    for name, more in (("plain", ()), ("multiplied", ("--premultiply",))):
        image.save(tmp_path / f"{name}.png")
        run(need("avifenc", "libavif-bin"), "-s", "9", "--min", "0", "--max", "0", "--minalpha", "0", "--maxalpha", "0",
            "-y", "444", *more, tmp_path / f"{name}.png", tmp_path / f"{name}.avif")  # fmt: skip
        back = read_picture(tmp_path / f"{name}.avif").pixels
        assert np.abs(back.astype(int) - np.asarray(image)).max() <= 4


def test_gamma_and_chromaticities_of_a_png_are_kept_and_become_a_profile(tmp_path: Path) -> None:
    points = struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)  # Adobe RGB
    path = with_chunks(tmp_path, "a.png", (b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", points))
    linear = with_chunks(tmp_path, "b.png", (b"gAMA", struct.pack(">I", 100_000)))
    for source in (path, linear):
        back = Image.open(io.BytesIO(encoded(read_picture(source), "png")))
        assert {key: back.info[key] for key in ("gamma", "chromaticity") if key in back.info} == {
            key: value for key, value in Image.open(source).info.items() if key in ("gamma", "chromaticity")
        }
    tagged = Image.open(io.BytesIO(encoded(read_picture(linear), "tiff")))
    half, srgb = Image.new("RGB", (1, 1), (128, 128, 128)), ImageCms.createProfile("sRGB")
    shown = ImageCms.profileToProfile(half, io.BytesIO(tagged.info["icc_profile"]), srgb)
    assert abs(shown.getpixel((0, 0))[0] - 188) <= 1  # half of the light, in sRGB


def test_srgb_stays_stated(tmp_path: Path) -> None:
    path = with_chunks(tmp_path, "a.png", (b"sRGB", b"\0"))
    assert Image.open(io.BytesIO(encoded(read_picture(path), "png"))).info["srgb"] == 0
    assert "icc_profile" not in Image.open(io.BytesIO(encoded(read_picture(path), "tiff"))).info


@pytest.mark.parametrize("codes", [(12, 13), (1, 13)])
def test_code_points_of_a_png_go_before_its_profile(codes: tuple[int, int], tmp_path: Path) -> None:
    other = StatedColor(gamma=100_000).profile() or b""
    profile = b"iCCP", b"x\0\0" + zlib.compress(other)
    picture = read_picture(with_chunks(tmp_path, "a.png", (b"cICP", bytes((*codes, 0, 1))), profile))
    assert (picture.metadata.color, picture.metadata.icc) == (StatedColor(codes), other)
    again = read_picture(encoded(picture, "png")).metadata
    assert (again.color, again.icc) == (StatedColor(codes), other)
    assert b"sRGB" not in encoded(picture, "png")
    assert read_picture(encoded(picture, "tiff")).metadata.icc == StatedColor(codes).profile()


def test_a_profile_stays_where_the_code_points_are_unknown(tmp_path: Path) -> None:
    profile = b"iCCP", b"x\0\0" + zlib.compress(wide_gamut())
    picture = read_picture(with_chunks(tmp_path, "a.png", (b"cICP", bytes((99, 13, 0, 1))), profile))
    assert write_picture(picture, tmp_path / "b.webp") == (
        "stated colours dropped: there is no profile for primaries 99",
    )
    assert read_picture(tmp_path / "b.webp").metadata.icc == wide_gamut()


@pytest.mark.parametrize("codes", [(9, 16), (1, 13)])
def test_narrow_range_stays_narrow(codes: tuple[int, int], tmp_path: Path) -> None:
    picture = read_picture(with_chunks(tmp_path, "a.png", (b"cICP", bytes((*codes, 0, 0)))))
    assert b"cICP" + bytes((*codes, 0, 0)) in encoded(picture, "png")
    assert "there is no profile for values of narrow range" in write_picture(picture, tmp_path / "b.webp")[0]


def test_padding_behind_a_profile_is_harmless() -> None:
    picture = read_picture(jpeg(icc_profile=wide_gamut() + bytes(9)))
    assert (picture.metadata.icc, picture.warnings) == (wide_gamut(), ())


def test_black_ink_without_a_profile_is_black() -> None:
    inks = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
    for data in (jpeg(inks), tiff(np.asarray(inks), photometric="separated")):
        assert read_picture(data).pixels.max() == 0


def test_inks_are_converted_with_their_profile() -> None:
    profile = pyvips.Image.profile_load("cmyk")
    inks = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    converted = ImageCms.profileToProfile(
        inks, io.BytesIO(profile), ImageCms.createProfile("sRGB"), renderingIntent=1, outputMode="RGB", flags=0x2000
    )
    found = read_picture(jpeg(inks, quality=100, icc_profile=profile)).pixels
    assert np.abs(found.astype(int) - np.asarray(converted)).max() <= 3


# Channels and pages of TIFF


@pytest.mark.parametrize(
    ("kinds", "alpha"),
    [
        (["unspecified"], None),
        (["unassalpha"], 3),
        (["unspecified", "unassalpha"], 4),
        (["unassalpha", "unspecified"], 3),
        (["unspecified", "unspecified"], None),
    ],
)
def test_only_stated_alpha_is_alpha(kinds: list[str], alpha: int | None) -> None:
    extra = [np.full(PIXELS.shape[:2], 100 + 50 * i, np.uint8) for i in range(len(kinds))]
    whole = np.dstack([PIXELS, *extra])
    back = read_picture(tiff(whole, photometric="rgb", extrasamples=kinds))
    expected = PIXELS if alpha is None else np.dstack([PIXELS, whole[..., alpha]])
    np.testing.assert_array_equal(back.pixels, expected)
    lost = len(kinds) - (alpha is not None)
    assert back.warnings == ((f"{lost} extra channel{'s' if lost > 1 else ''} dropped",) if lost else ())


def test_a_thumbnail_is_never_the_picture() -> None:
    tifffile = pytest.importorskip("tifffile")
    small = np.ascontiguousarray(PIXELS[:8, :8])
    for below in (False, True):
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream) as writer:
            writer.write(small, photometric="rgb", subfiletype=1, subifds=1 if below else 0, metadata=None)
            writer.write(PIXELS, photometric="rgb", metadata=None)
        back = read_picture(stream.getvalue())
        np.testing.assert_array_equal(back.pixels, PIXELS)
        assert back.warnings == ()


def test_camera_raw_is_refused_by_name() -> None:
    data = tiff(PIXELS, photometric="rgb", subfiletype=1, extratags=[(50_706, "B", 4, (1, 4, 0, 0), True)])
    with pytest.raises(PictureError, match=r"camera raw file \(DNG\)"):
        read_picture(data)


@pytest.mark.parametrize(("code", "name"), [(50_000, "Zstandard"), (34_712, "JPEG 2000"), (34_887, "LERC")])
def test_a_compression_that_is_not_built_in_is_named(code: int, name: str) -> None:
    data = bytearray(tiff(PIXELS, photometric="rgb"))
    at = data.find(struct.pack("<HHI", 259, 3, 1))
    struct.pack_into("<H", data, at + 8, code)
    with pytest.raises(PictureError, match=f"compressed as {name}"):
        read_picture(bytes(data))


@pytest.mark.parametrize(("sides", "warned"), [((72, 72), False), ((72, 36), True)])
def test_a_resolution_without_a_unit_is_none(sides: tuple[int, int], warned: bool) -> None:
    back = read_picture(tiff(PIXELS, photometric="rgb", resolution=sides, resolutionunit=1))
    assert back.metadata.resolution is None
    assert bool(back.warnings) == warned


# JPEG files that lack something

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8))


@pytest.mark.parametrize("progressive", [False, True])
def test_an_end_marker_alone_may_be_missing(progressive: bool) -> None:
    data = jpeg(NOISE, progressive=progressive)
    whole, lacking = read_picture(data), read_picture(data[:-2])
    np.testing.assert_array_equal(lacking.pixels, whole.pixels)
    assert lacking.warnings == ("the JPEG file lacks its end marker; the picture is whole",)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_jpeg_that_lacks_a_tenth_is_cut_short(share: float, progressive: bool, closed: bool) -> None:
    data = jpeg(NOISE, progressive=progressive)
    data = data[: int(len(data) * share)] + (b"\xff\xd9" if closed else b"")
    with pytest.raises(PictureError, match=r"cut short: \d+% of the picture is missing"):
        read_picture(data)


def test_a_large_jpeg_of_a_few_bytes_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(self: object) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(pyvips.Image, "write_to_memory", decoded)
    for progressive in (False, True):
        data = bytearray(jpeg(Image.new("RGB", (64, 64), "gray"), progressive=progressive))
        at = data.find(b"\xff\xc2" if progressive else b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 8000, 8000)
        with pytest.raises(PictureError, match="most of its data are missing"):
            read_picture(bytes(data))


@pytest.mark.parametrize(("marker", "depth", "words"), [(0xC0, 12, "12 bits"), (0xF7, 8, "JPEG-LS")])
def test_a_jpeg_that_is_not_built_in_is_named(marker: int, depth: int, words: str) -> None:
    data = bytearray(jpeg())
    at = data.find(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, depth
    with pytest.raises(PictureError, match=f"is a JPEG.*{words}|is a {words}"):
        read_picture(bytes(data))
