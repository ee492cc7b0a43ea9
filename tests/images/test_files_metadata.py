"""What goes with the pixels: profile, EXIF, XMP, resolution. Written by us, read by Pillow and by hand, and back."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from rlfn.images.files import WRITABLE, Metadata, Picture, read_picture, write_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description tiff:Orientation="6"/></rdf:RDF>'
    b'</x:xmpmeta><?xpacket end="w"?>'
)
BY_PILLOW = tuple(name for name in WRITABLE if name != "jxl")  # which Pillow does not open
UPRIGHT_XMP = XMP.replace(b'="6"', b'="1"')
DPI_300 = (300 / 25.4, 300 / 25.4)


def gray_profile() -> bytes:
    """A gray profile of gamma 2.2, by hand: a header, and the tags wtpt and kTRC."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63_190, 65_536, 54_061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563) + b"\0\0"
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, len(white), b"kTRC", 156 + len(white), len(curve))
    header = bytearray(128)
    header[8:24] = b"\x02\x40\0\0mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63_190, 65_536, 54_061)
    profile = bytes(header) + tags + white + curve
    return struct.pack(">I", len(profile)) + profile[4:]


def exif_block(orientation: int = 6, big_endian: bool = False) -> bytes:
    """An EXIF block as a camera writes it, in either byte order, with sizes, notes, a place and a thumbnail."""
    exif = Image.Exif()
    exif.endian = ">" if big_endian else "<"
    exif[0x010F], exif[0x013B], exif[0x0112] = "Maker", "An artist", orientation
    exif[0x011A] = exif[0x011B] = 300.0
    exif[0x0128] = 2
    photo = exif.get_ifd(0x8769)
    photo[0xA002], photo[0xA003] = 40, 30
    photo[0x9003], photo[0x829A] = "2020:01:02 03:04:05", 0.5
    photo[0x927C] = b"notes of the maker " * 3
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", (48.0, 8.0, 15.5)
    return exif.tobytes().removeprefix(b"Exif\0\0")


def with_thumbnail(exif: bytes, picture: bytes) -> bytes:
    """Chain a second table that points to ``picture`` to a little-endian block."""
    first = struct.unpack_from("<I", exif, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", exif, first)[0]
    at = len(exif)
    table = struct.pack("<HHHIIHHIII", 2, 0x201, 4, 1, at + 30, 0x202, 4, 1, len(picture), 0)
    return exif[:link] + struct.pack("<I", at) + exif[link + 4 :] + table + picture


def pixels(kind: str, deep: bool = False) -> np.ndarray:
    channels = {"gray": (), "rgb": (3,), "rgba": (4,)}[kind]
    dtype = np.uint16 if deep else np.uint8
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max + 1, (31, 50, *channels), dtype=dtype)


def encoded(picture: Picture, format: str) -> bytes:
    stream = io.BytesIO()
    write_picture(picture, stream, format=format)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("format", BY_PILLOW)
@pytest.mark.parametrize("big_endian", [False, True])
def test_every_format_keeps_everything(format: str, big_endian: bool) -> None:
    picture = Picture(pixels("rgb"), Metadata(ICC, exif_block(big_endian=big_endian), XMP, DPI_300))
    stream = io.BytesIO()
    assert write_picture(picture, stream, format=format) == ()
    image = opened(stream.getvalue())
    assert image.info["icc_profile"] == ICC
    exif = image.getexif()
    assert (exif[0x010F], exif[0x013B], exif[0x0112]) == ("Maker", "An artist", 1)
    photo, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert (photo[0x9003], photo[0x829A], photo[0xA002], photo[0xA003]) == ("2020:01:02 03:04:05", 0.5, 50, 31)
    assert photo[0x927C] == b"notes of the maker " * 3
    assert (place[1], place[2]) == ("N", (48.0, 8.0, 15.5))
    packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    assert (packet if isinstance(packet, bytes) else packet.encode()) == UPRIGHT_XMP
    if "dpi" in image.info:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    back = read_picture(stream.getvalue())
    assert back.warnings == ()
    assert back.metadata.icc == ICC
    assert back.metadata.resolution == pytest.approx(DPI_300, rel=1e-4)
    # ... and through every other format.
    for other in BY_PILLOW:
        exif = opened(encoded(back, other)).getexif()
        assert exif[0x010F] == "Maker"
        assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert exif.get_ifd(0x8825)[2] == (48.0, 8.0, 15.5)


@pytest.mark.parametrize("format", ["png", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_icc_exif_orientation_alpha_and_16_bit_together(format: str, orientation: int) -> None:
    """The file is made by other hands: pyvips alone, or for EXIF in TIFF a table written here."""
    source = pixels("rgba", deep=True)
    image = pyvips.Image.new_from_array(source).copy(interpretation="rgb16", xres=DPI_300[0], yres=DPI_300[1])
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", ICC)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    if format == "png":
        image.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif_block(orientation))
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        data = image.pngsave_buffer()
    else:
        data = tiff_with_exif(image.tiffsave_buffer(), orientation)
    picture = read_picture(data)
    assert (picture.bits, picture.warnings, picture.gray) == (16, (), False)
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    np.testing.assert_array_equal(picture.pixels, np.rot90(source, turns), strict=True)
    larger = Picture(np.ascontiguousarray(picture.pixels.repeat(2, 0).repeat(2, 1)), picture.metadata, bits=16)
    for target in ("png", "tiff"):
        written = encoded(larger, target)
        back = read_picture(written)
        np.testing.assert_array_equal(back.pixels, larger.pixels, strict=True)
        assert back.metadata.icc == ICC
        assert b'tiff:Orientation="1"' in (back.metadata.xmp or b"") or orientation == 1
        assert back.metadata.resolution == pytest.approx(DPI_300, rel=1e-4)
        exif = opened_exif(written, target)
        assert (exif[0x010F], exif.get(0x0112, 1)) == ("Maker", 1)
        photo = exif.get_ifd(0x8769)
        assert (photo[0xA002], photo[0xA003]) == (back.width, back.height)
        assert exif.get_ifd(0x8825)[1] == "N"


def tiff_with_exif(data: bytes, orientation: int) -> bytes:
    """Add Make, Orientation and the EXIF and GPS tables of a block to a little-endian TIFF file, by hand.

    The block's own offsets hold if it is read at the file's start; so it is rebuilt by Pillow at the end's offset.
    """
    at = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    records = {
        struct.unpack_from("<H", data, here)[0]: data[here : here + 12]
        for here in range(at + 2, at + 2 + 12 * count, 12)
    }
    base = len(data) + len(data) % 2
    photo_at = base + 8
    photo = struct.pack("<HHHIIHHIII", 2, 0xA002, 3, 1, 40, 0xA003, 3, 1, 30, 0)
    place_at = photo_at + len(photo)
    place = struct.pack("<HHHI4sI", 1, 1, 2, 2, b"N\0\0\0", 0)
    records[0x010F] = struct.pack("<HHII", 0x010F, 2, 6, base)
    records[0x0112] = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    records[0x8769] = struct.pack("<HHII", 0x8769, 4, 1, photo_at)
    records[0x8825] = struct.pack("<HHII", 0x8825, 4, 1, place_at)
    table = struct.pack("<H", len(records)) + b"".join(records[tag] for tag in sorted(records)) + b"\0\0\0\0"
    table_at = place_at + len(place)
    body = data + b"\0" * (base - len(data)) + b"Maker\0\0\0" + photo + place + table
    return body[:4] + struct.pack("<I", table_at) + body[8:]


def opened_exif(data: bytes, format: str) -> Image.Exif:
    """EXIF without decoding: Pillow opens no 16-bit RGBA TIFF, so its tables are loaded as an EXIF block."""
    exif = Image.Exif()
    if format == "tiff":
        exif.load(b"Exif\0\0" + data)
    else:
        exif.load(b"Exif\0\0" + png_chunks(data)[b"eXIf"])
    return exif


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    at, chunks = 8, {}
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(name + body)
        chunks.setdefault(name, body)
        at += 12 + size
    return chunks


def test_png_metadata_stands_in_the_standard_chunks_before_the_pixels() -> None:
    metadata = Metadata(ICC, exif_block(), XMP, DPI_300)
    chunks = png_chunks(encoded(Picture(pixels("rgb"), metadata), "png"))
    names = list(chunks)
    assert names.index(b"eXIf") < names.index(b"IDAT") > names.index(b"iTXt")
    assert chunks[b"iTXt"] == b"XML:com.adobe.xmp\0\0\0\0\0" + UPRIGHT_XMP
    assert chunks[b"pHYs"] == struct.pack(">IIB", 11_811, 11_811, 1)
    assert zlib.decompress(chunks[b"iCCP"].split(b"\0", 1)[1][1:]) == ICC


def test_a_profile_larger_than_a_write_buffer_passes_the_png_splice() -> None:
    big = bytearray(ICC + np.random.default_rng(0).bytes(60_000))
    big[:4] = struct.pack(">I", len(big))
    chunks = png_chunks(encoded(Picture(pixels("rgb"), Metadata(bytes(big), exif_block())), "png"))
    assert zlib.decompress(chunks[b"iCCP"].split(b"\0", 1)[1][1:]) == bytes(big)
    assert b"eXIf" in chunks


@pytest.mark.parametrize("format", BY_PILLOW)
def test_nothing_is_invented(format: str) -> None:
    """A file without metadata stays one: no EXIF, no profile, no resolution (TIFF has to state one)."""
    data = encoded(Picture(pixels("rgb")), format)
    image = opened(data)
    assert not {"icc_profile", "exif", "xmp"} & set(image.info)
    back = read_picture(data).metadata
    assert (back.icc, back.exif, back.xmp) == (None, None, None)
    if format != "tiff":
        assert "dpi" not in image.info
        assert back.resolution is None


@pytest.mark.parametrize("format", WRITABLE)
@pytest.mark.parametrize("resolution", [DPI_300, (10.0, 5.0), (72 / 25.4, 72 / 25.4)])
def test_resolution_is_kept_without_exif(format: str, resolution: tuple[float, float]) -> None:
    back = read_picture(encoded(Picture(pixels("rgb"), Metadata(resolution=resolution)), format))
    assert back.metadata.resolution == pytest.approx(resolution, rel=1e-3)


def test_resolution_turns_with_the_picture() -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(stream, "TIFF", exif=exif, dpi=(300, 150))
    assert read_picture(stream.getvalue()).metadata.resolution == pytest.approx((150 / 25.4, 300 / 25.4), rel=1e-4)


@pytest.mark.parametrize("format", BY_PILLOW)
def test_a_gray_profile_goes_with_gray_pixels_only(format: str) -> None:
    stream = io.BytesIO()
    warnings = write_picture(Picture(pixels("gray"), Metadata(gray_profile())), stream, format=format)
    kept = opened(stream.getvalue()).info.get("icc_profile")
    if format in ("webp", "avif"):
        assert kept is None
        assert "gray colour profile dropped" in warnings[0]
    else:
        assert kept == gray_profile()
        assert warnings == ()
    stream = io.BytesIO()
    warnings = write_picture(Picture(pixels("rgb"), Metadata(gray_profile())), stream, format=format)
    assert warnings == ("colour profile dropped: it is meant for GRAY pixels",)
    assert "icc_profile" not in opened(stream.getvalue()).info


def test_a_damaged_profile_is_dropped_with_a_warning() -> None:
    stream = io.BytesIO()
    warnings = write_picture(Picture(pixels("rgb"), Metadata(ICC[:-7])), stream, format="png")
    assert warnings == ("colour profile dropped: it is damaged",)


@pytest.mark.parametrize("format", BY_PILLOW)
def test_the_old_thumbnail_goes(format: str) -> None:
    thumbnail = b"\xff\xd8 the old picture, small \xff\xd9"
    exif = with_thumbnail(exif_block(), thumbnail)
    data = encoded(Picture(pixels("rgb"), Metadata(exif=exif)), format)
    assert thumbnail not in data
    image = opened(data)
    assert image.getexif()[0x010F] == "Maker"
    assert not image.getexif().get_ifd(1)


@pytest.mark.parametrize("format", WRITABLE)
def test_damaged_exif_is_dropped_with_a_warning(format: str) -> None:
    stream = io.BytesIO()
    warnings = write_picture(Picture(pixels("rgb"), Metadata(exif=b"MM\0*\xff\xff\xff\xff")), stream, format=format)
    assert warnings == ("damaged EXIF dropped",)
    assert read_picture(stream.getvalue()).metadata.exif is None


def test_what_no_jpeg_segment_holds_is_dropped_with_a_warning() -> None:
    big = exif_block() + bytes(70_000)
    picture = Picture(pixels("rgb"), Metadata(exif=big))
    stream = io.BytesIO()
    warnings = write_picture(picture, stream, format="jpg")
    assert warnings == (f"EXIF of {len(big):,} bytes dropped: JPEG holds 65,527",)
    assert read_picture(stream.getvalue()).metadata.exif is None


def test_the_widest_exif_and_xmp_fit_a_jpeg() -> None:
    exif = exif_block().ljust(65_527, b"\0")
    stream = io.BytesIO()
    assert write_picture(Picture(pixels("rgb"), Metadata(exif=exif, xmp=XMP.ljust(65_504))), stream, format="jpg") == ()
    back = read_picture(stream.getvalue())
    assert len(back.metadata.exif or b"") == 65_527
    assert len(back.metadata.xmp or b"") == 65_504


@pytest.mark.parametrize("format", ["webp", "avif", "jxl"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_resolution_goes_into_exif_that_states_none(format: str, big_endian: bool) -> None:
    exif = Image.Exif()
    exif.endian = ">" if big_endian else "<"
    exif[0x010F], exif[0x0128] = "Maker", 1
    exif[0x011A] = exif[0x011B] = 72.0  # no unit
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    back = read_picture(encoded(Picture(pixels("rgb"), Metadata(exif=block, resolution=DPI_300)), format)).metadata
    assert back.resolution == pytest.approx(DPI_300, rel=1e-3)
    assert b"Maker" in (back.exif or b"")


def test_maker_notes_keep_their_place() -> None:
    exif = exif_block()
    for format in ("jpg", "png", "webp", "avif"):
        data = encoded(Picture(pixels("rgb"), Metadata(exif=exif)), format)
        at = data.find(b"notes of the maker") - data.rfind(exif[:8])
        assert at == exif.find(b"notes of the maker")
