"""Check the base install in an environment of its own: no torch, under 300 MB, every format, and a picture upscaled.

python scripts/check_base.py
python scripts/check_base.py --any-size    # with the lowest versions that pyproject.toml allows, which are larger
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

LIMIT_MB = 300
EXTRAS = ("torch", "openvino", "PIL", "pooch", "matplotlib", "lightning_fabric")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--any-size", action="store_true", help="do not limit the size of the install")
    any_size = parser.parse_args().any_size
    present = [name for name in EXTRAS if find_spec(name)]
    assert not present, f"the base install brought {present}"
    site = Path(sysconfig.get_paths()["purelib"])
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"base install: {size / 1e6:.0f} MB in {site}")
    assert any_size or size < LIMIT_MB * 1e6, f"the base install takes {size / 1e6:.0f} MB, over {LIMIT_MB}"
    import rlfn
    from rlfn.images.photograph import PHOTOGRAPH
    from rlfn.models import catalog

    assert Path(rlfn.__file__).is_relative_to(site), "the checkout was imported instead of the installed package"
    assert catalog.models()
    assert PHOTOGRAPH.is_relative_to(site), "the wheel lacks the photograph that exports are checked with"
    check_formats()
    check_animations()
    photo = Path(__file__).parents[1] / "examples" / "astronaut.png"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.png"
        subprocess.run([sys.executable, "-m", "rlfn", "upscale", str(photo), "-o", str(target)], check=True, cwd=folder)
        assert target.stat().st_size > photo.stat().st_size
    print("base install: passed")


def check_formats() -> None:
    """Write and read each format in each kind of pixels, with EXIF, XMP, a resolution and a text."""
    import numpy as np

    from rlfn.errors import MissingExtraError
    from rlfn.images.files import FORMATS, WRITABLE, Metadata, Picture, read_picture, write_picture
    from rlfn.images.picture import Text

    rgb = np.random.default_rng(0).integers(0, 256, (19, 23, 3), np.uint8)
    kinds = {
        "RGB": rgb,
        "gray": rgb[:, :, 0],
        "16 bit": rgb.astype(np.uint16) * 257,
        "RGBA": np.dstack([rgb, rgb[:, :, 0]]),
    }
    exif = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"  # a description, "abc"
    about = Metadata(
        exif=exif, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", resolution=(3.0, 3.0), texts=(Text("a", "b"),)
    )
    for name in WRITABLE:
        for kind, pixels in kinds.items():
            stream = io.BytesIO()
            try:
                write_picture(Picture(pixels, about), stream, format=name)
                picture = read_picture(stream.getvalue())
            except MissingExtraError:
                print(f"base install: {name} is an extra")
                break
            assert picture.pixels.shape[:2] == pixels.shape[:2], (name, kind, picture.pixels.shape)
            assert picture.metadata.exif is not None, (name, kind)
            assert picture.metadata.xmp is not None, (name, kind)
            if not FORMATS[name].lossy and pixels.dtype == picture.pixels.dtype:
                np.testing.assert_array_equal(picture.pixels, pixels, f"{name}, {kind}")
        else:
            print(f"base install: {name} is written and read")


def check_animations() -> None:
    """Write and read each animation, and read a GIF as a picture."""
    import numpy as np

    from rlfn.images.animation import ANIMATIONS, Animation, open_animation, write_animation
    from rlfn.images.apng import read_control
    from rlfn.images.files import Metadata, read_picture

    frames = np.random.default_rng(0).integers(0, 256, (3, 19, 23, 3), np.uint8)
    like = Animation(23, 19, (50, 60, 70), 0, Metadata(), False, lambda: iter(frames))
    with tempfile.TemporaryDirectory() as folder:
        for name in ANIMATIONS:
            path = Path(folder) / f"a.{name}"
            write_animation(like.frames(), path, like)
            found = open_animation(path)
            assert found.delays == like.delays, (name, found.delays)
            assert [frame.shape for frame in found.frames()] == [frame.shape for frame in frames], name
            assert read_picture(path.read_bytes()).pixels.shape[:2] == (19, 23), name
        path = Path(folder) / "a.png"
        write_animation(like.frames(), path, like)
        with path.open("rb") as stream:
            assert read_control(stream) == (3, 0)
    print("base install: animations are written and read")


if __name__ == "__main__":
    main()
