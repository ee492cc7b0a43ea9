"""Networks of rlfn through spandrel's own loader, and the way ComfyUI and chaiNNer go through it.

spandrel imports three names of torchvision for two architectures that are none of ours. torchvision is large and must
match torch's build, so the tests take spandrel without its dependencies and stand in for those names.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlfn.errors import MissingExtraError, ModelError
from rlfn.inference.upscaler import Upscaler
from rlfn.integrations.spandrel import architecture_id, register
from rlfn.models import catalog
from rlfn.models.variants import VARIANTS, PlainFields, RLFNFields, Variant
from rlfn.networks import ARCHITECTURES, build, save_checkpoint

OFFICIAL = ["rlfn_ntire_x4", "rlfn_s_x2", "rlfn_s_x4", "rlfn_x2", "rlfn_x4"]


@pytest.fixture(scope="module")
def spandrel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    before, path = set(sys.modules), list(sys.path)
    if importlib.util.find_spec("spandrel") is None:
        folder = tmp_path_factory.mktemp("spandrel")
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, "spandrel", "einops"], capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            pytest.skip("spandrel cannot be installed here: pip install --no-deps spandrel einops")
        sys.path.insert(0, str(folder))
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        module = types.ModuleType(name)
        module.__dict__.update(InterpolationMode=object, rotate=None, normalize=None, __path__=[])
        sys.modules[name] = module
    importlib.invalidate_caches()
    yield importlib.import_module("spandrel")
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("spandrel", "einops", "torchvision"):
            del sys.modules[name]


@pytest.fixture
def loader(spandrel: Any) -> Any:
    registry = spandrel.MAIN_REGISTRY.copy()
    register(registry)
    register(registry)
    assert "RLFN" in registry
    return spandrel.ModelLoader(registry=registry)


def through(descriptor: Any, image: np.ndarray) -> np.ndarray:
    lr = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    found = descriptor(lr)[0].numpy().transpose(1, 2, 0)
    return np.floor(found * 255 + 0.5).astype(int)


SIZES = [variant for variant in VARIANTS.values() if variant.architecture == "rlfn"]
SIZES.append(Variant("rlfn-custom", "rlfn", RLFNFields(2, 8, 10, 4), "sizes of no row"))


@pytest.mark.parametrize("variant", SIZES, ids=lambda variant: variant.name)
@pytest.mark.parametrize(("scale", "suffix"), [(1, ".pth"), (2, ".safetensors"), (3, ".pth"), (4, ".safetensors")])
def test_every_variant_and_scale(spandrel: Any, loader: Any, tmp_path: Path, variant: Variant, scale: int, suffix: str):
    torch.manual_seed(0)
    network = build(variant, scale).eval()
    network.start_as_interpolation()
    path = tmp_path / f"weights{suffix}"
    save_checkpoint(path, network, variant, scale)
    found = loader.load_from_file(path)
    assert (found.architecture.id, found.scale, found.tags) == ("RLFN", scale, [variant.name])
    assert found.tiling == spandrel.ModelTiling.DISCOURAGED
    assert found.size_requirements.minimum == 15
    # smaller than the network takes: spandrel pads, as its requirements say
    image = np.random.default_rng(0).integers(0, 256, (17, 24, 3), np.uint8)
    assert np.abs(through(found, image) - Upscaler(path, engine="torch")(image)).max() <= 1
    assert through(found, image[:9, :4]).shape == (9 * scale, 4 * scale, 3)


OTHERS = [variant for variant in VARIANTS.values() if variant.architecture != "rlfn"]
OTHERS.append(Variant("plain-custom", "plain", PlainFields(3, 8), "sizes of no row"))


@pytest.mark.parametrize("variant", OTHERS, ids=lambda variant: variant.name)
def test_every_other_network(spandrel: Any, loader: Any, tmp_path: Path, variant: Variant) -> None:
    torch.manual_seed(0)
    path, row = tmp_path / "weights.safetensors", ARCHITECTURES[variant.architecture]
    save_checkpoint(path, build(variant, 2), variant, 2)
    found = loader.load_from_file(path)
    assert (found.architecture.id, found.scale) == (architecture_id(variant.architecture), 2)
    assert found.size_requirements.minimum == row.min_side
    local = row.stride == 1
    assert found.tiling == (spandrel.ModelTiling.SUPPORTED if local else spandrel.ModelTiling.DISCOURAGED)
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    raw = through(found, image)
    wanted = Upscaler(path, engine="torch", tile=0)(image)
    inside = (raw > 1) & (raw < 254)
    assert np.abs(raw.clip(0, 255) - wanted)[inside].max(initial=0) <= 1


def test_every_architecture_has_its_row(spandrel: Any) -> None:
    """A further architecture registers with no change here, and none of spandrel's own is replaced."""
    registry = spandrel.MAIN_REGISTRY.copy()
    before = {support.architecture.id for support in registry.architectures()}
    register(registry)
    after = {support.architecture.id for support in registry.architectures()}
    assert after - before == {architecture_id(name) for name in ARCHITECTURES}
    assert before <= after


def test_comfyui_loads_a_packaged_model(spandrel: Any) -> None:
    """What its nodes "Load Upscale Model" and "Upscale Image (using Model)" do: a state dict, NHWC in [0, 1]."""
    from safetensors.torch import load_file

    register()
    for name in ("rlfn-xs-x2", "rlfn-s-x2"):
        state = load_file(catalog.get_model(name).file(catalog.TENSORS).path)
        model = spandrel.ModelLoader().load_from_state_dict(state).eval()
        assert isinstance(model, spandrel.ImageModelDescriptor)
        image = np.random.default_rng(0).integers(60, 200, (24, 30, 3), np.uint8)
        batch = torch.from_numpy(image.astype(np.float32) / 255.0)[None]
        with torch.inference_mode():
            sr = model(batch.movedim(-1, -3).to(model.device))
        found = torch.clamp(sr.movedim(-3, -1), min=0.0, max=1.0)
        assert found.shape == (1, 24 * model.scale, 30 * model.scale, 3)
        wanted = Upscaler(name, engine="onnxruntime", tile=0, precision="fp32")(image)
        assert np.abs(np.floor(found[0].numpy() * 255.0 + 0.5) - wanted).max() <= 1


def test_chainner_loads_a_packaged_model(spandrel: Any) -> None:
    """What its node "Load Model" does: a file, no gradients, a device, full or half precision as the model allows."""
    register()
    path = catalog.get_model("rlfn-xs-x2").file(catalog.TENSORS).path
    model = spandrel.ModelLoader(torch.device("cpu")).load_from_file(path)
    for parameter in model.model.parameters():
        parameter.requires_grad = False
    model.model.eval()
    model = model.to(torch.device("cpu")).float()
    assert model.supports_half
    assert (model.input_channels, model.output_channels, model.scale) == (3, 3, 2)
    assert model(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


def test_a_damaged_rlfn_is_named(loader: Any, tmp_path: Path) -> None:
    variant = SIZES[-1]
    state = build(variant, 2).state_dict()
    del state["block_2.c2_r.bias"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"block_2\.c2_r\.bias"):
        loader.load_from_file(tmp_path / "x.pth")


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_files_on_set5(shared: Path, loader: Any, name: str) -> None:
    from rlfn.images.files import read_picture
    from rlfn.inference.border import has_flat_border

    path = shared / "reference" / "rlfn_official" / f"{name}.pth"
    found = loader.load_from_file(path)
    upscaler = Upscaler(path, engine="torch", tile=0)
    pictures = sorted((shared / "data" / "bench" / "Set5" / "LR_bicubic" / f"X{found.scale}").glob("*.png"))
    assert len(pictures) == 5
    for picture in pictures:
        image = read_picture(picture).pixels
        if has_flat_border(image):
            continue  # rlfn continues it by its mirror image
        assert np.abs(through(found, image) - upscaler(image)).max() <= 1


def test_missing_spandrel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(MissingExtraError, match="pip install spandrel torchvision"):
        register()


def test_no_extra_installs_torchvision() -> None:
    """spandrel asks for torchvision, and pip would take its CUDA build beside a torch for the CPU."""
    facts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [text for texts in (facts["dependencies"], *facts["optional-dependencies"].values()) for text in texts]
    assert not [text for text in named if text.startswith(("spandrel", "torchvision"))]
