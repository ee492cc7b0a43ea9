"""Check the base install in an environment of its own: no torch, under 300 MB, and a picture upscaled.

python scripts/check_base.py
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

LIMIT_MB = 300
EXTRAS = ("torch", "openvino", "PIL", "pooch", "matplotlib", "lightning_fabric")


def main() -> None:
    present = [name for name in EXTRAS if find_spec(name)]
    assert not present, f"the base install brought {present}"
    site = Path(sysconfig.get_paths()["purelib"])
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"base install: {size / 1e6:.0f} MB in {site}")
    assert size < LIMIT_MB * 1e6, f"the base install takes {size / 1e6:.0f} MB, over {LIMIT_MB}"
    import rlfn
    from rlfn.images.photograph import PHOTOGRAPH
    from rlfn.models import catalog

    assert Path(rlfn.__file__).is_relative_to(site), "the checkout was imported instead of the installed package"
    assert catalog.models()
    assert PHOTOGRAPH.is_relative_to(site), "the wheel lacks the photograph that exports are checked with"
    photo = Path(__file__).parents[1] / "examples" / "astronaut.png"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.png"
        subprocess.run([sys.executable, "-m", "rlfn", "upscale", str(photo), "-o", str(target)], check=True, cwd=folder)
        assert target.stat().st_size > photo.stat().st_size
    print("base install: passed")


if __name__ == "__main__":
    main()
