"""Recipes: a training run as data, strictly typed.

A recipe is a TOML file. ``base`` names another recipe whose keys it overrides; ``[stage]`` holds what every one of its
``[[stages]]`` shares. Unknown keys and wrong values are all reported at once, each with the nearest valid name.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from rlfn.data.degradations import DEGRADATIONS, Degradation, make_degradation
from rlfn.data.store import DataSource
from rlfn.errors import OptionError
from rlfn.models.variants import SCALES, Variant, get_variant, variant_from_sizes
from rlfn.training.extractors import Contrastive
from rlfn.training.objective import BLOCKWISE, CONTRASTIVE, loss_names
from rlfn.training.optim import Optimizer
from rlfn.training.schedules import Schedule
from rlfn.training.section import Section, known

INITS = ("scratch", "interpolate", "previous")
"""Starting points of a stage, besides the path of a checkpoint."""

HELD_OUT = "held-out"
"""The name of the held-out pictures among the validation sets."""


class TrainingData(Section):
    """A source of training pictures."""

    path: str
    """A pack made by `rlfn data pack`, or a folder of pictures, which is slower."""
    weight: float = Field(default=1.0, gt=0.0)
    """Sampling weight relative to the other sources."""


class Data(Section):
    """Training data."""

    train: tuple[TrainingData, ...] = Field(default=(), strict=False)
    """A pack or a folder of pictures, or several as `[{ path = "a", weight = 2.0 }, ...]`; data that is given with the
    command goes before it."""
    degradation: str = "bicubic"
    """How LR pictures are made; one of the table of degradations."""
    degradation_settings: dict[str, Any] = Field(default={})
    """Its settings, for instance `{ jpeg = 0.5, jpeg_quality = [40, 90] }` for `photo`."""
    held_out: float = Field(default=0.1, ge=0.0, lt=1.0)
    """The share of the pictures that is kept for validation and never trained on."""
    skip_flat: float = Field(default=0.0, ge=0.0, le=1.0)
    """The share of nearly flat patches that is drawn again elsewhere."""

    @field_validator("train", mode="before")
    @classmethod
    def _one(cls, train: Any) -> Any:
        return ({"path": train},) if isinstance(train, str) else () if train is None else train

    @field_validator("degradation")
    @classmethod
    def _degradation(cls, name: str) -> str:
        return known("degradation", name, DEGRADATIONS)

    @field_validator("degradation_settings")
    @classmethod
    def _finite(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for key, value in settings.items():
            numbers = [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, float)]
            if not all(map(math.isfinite, numbers)):
                raise OptionError(f"{key} must be finite.")
        return settings

    def sources(self) -> tuple[DataSource, ...]:
        """Return what is trained on, for :func:`rlfn.data.store.open_pictures`."""
        return tuple(DataSource(Path(data.path), data.weight) for data in self.train)

    def make_degradation(self) -> Degradation:
        """Return the degradation with its settings.

        Raises:
            OptionError: there is no such setting, or its value is out of range.
        """
        return make_degradation(self.degradation, self.degradation_settings)


class SoftPrune(Section):
    """Soft filter pruning: the channels of smallest norm become zero again and again, for `rlfn prune` to remove."""

    channels: int | None = Field(default=None, ge=1)
    """Number of channels to keep between the blocks."""
    mid: int | None = Field(default=None, ge=1)
    """Number of channels to keep inside the blocks."""
    every: int = Field(default=1000, ge=1)
    """Steps in which zeroed channels may grow again."""
    hold: float = Field(default=0.5, ge=0.0, le=1.0)
    """The share of the stage after which they stay zero."""


class Phase(Section):
    """A change of patch or batch within a stage."""

    at: float = Field(gt=0.0, lt=1.0)
    """The progress from which it holds."""
    patch: int | None = Field(default=None, ge=1)
    """LR px a side."""
    batch: int | None = Field(default=None, ge=1)
    """Samples a step, over all devices."""


class Stage(Section):
    """One run of a schedule."""

    name: str = ""
    """A label."""
    init: str = "previous"
    """`scratch`, `interpolate`, `previous` (the stage before: weights only), the path of a checkpoint, or a packaged
    model's name."""
    partial: bool = False
    """Allow a checkpoint of another network: what fits is taken, and what does not is listed."""
    freeze: tuple[str, ...] = Field(default=(), strict=False)
    """Parameters that are not trained, by patterns of their names, for instance `["conv_1.*", "block_*.esa.*"]`."""
    tail: Literal["resample", "new"] = "resample"
    """From a checkpoint of another scale: what the last layer starts as."""
    recycle: float = Field(default=0.0, ge=0.0, le=1e4)
    """Before the first step, give hidden units new weights whose removal would change the output by a lower mean square
    than this, in levels (of 255); 0 leaves all as they are."""
    leak: float = Field(default=0.0, ge=0.0, le=1.0)
    """For plain networks: the share of the gradient that passes a ReLU below zero, so that units which are never active
    can return. The output is that of a ReLU."""
    centred: bool = False
    """Train the weights as if the means of each convolution's inputs were zero, so that their steps do not switch units
    off. The network's output does not change."""
    carry_optimizer: bool = False
    """Keep the optimiser's state of the stage before (the paper's `clr`)."""
    loss: dict[str, float] = Field(default={"l1": 1.0})
    """A weight for each loss by name."""
    contrastive: Contrastive = Contrastive()
    """The features of the contrastive loss."""
    teacher: str | None = None
    """The teacher for the losses distillation and blockwise: a checkpoint, or a packaged model's name."""
    optimizer: Optimizer = Optimizer()
    """The optimiser."""
    schedule: Schedule = Schedule()
    """The learning rate over the stage."""
    ema: float = Field(default=0.999, ge=0.0, lt=1.0)
    """The decay of the weights' moving average; 0 means the weights themselves."""
    patch: int | None = Field(default=None, ge=1)
    """LR px a side; or give hr_patch."""
    hr_patch: int | None = Field(default=None, ge=1)
    """HR px a side, rounded down to a multiple of the scale."""
    batch: int = Field(default=16, ge=1)
    """Samples a step, over all devices."""
    accumulate: int = Field(default=1, ge=1)
    """Number of parts in which a batch passes through the network (gradient accumulation): less memory, same step."""
    soft_prune: SoftPrune = SoftPrune()
    """Prepare the network for `rlfn prune`; without widths, nothing is done."""
    int8: bool = False
    """Quantization-aware training (QAT), for a last stage before `rlfn export --precision int8`."""
    phases: tuple[Phase, ...] = Field(default=(), strict=False)
    """Changes of patch and batch during the stage."""
    iterations: int | None = Field(default=None, ge=1)
    """The length in steps; or give hours."""
    hours: float | None = Field(default=None, gt=0.0, le=1e6)
    """The length in hours spent in training steps."""

    @field_validator("loss")
    @classmethod
    def _loss(cls, loss: dict[str, float]) -> dict[str, float]:
        for name in loss:
            known("loss", name, loss_names())
        if not any(loss.values()) or min(loss.values()) < 0.0:
            raise OptionError("The weights of the losses must not be negative, and one must be above 0.")
        return loss

    @property
    def starts_from_file(self) -> bool:
        """Whether ``init`` is the path of a checkpoint."""
        return self.init not in INITS

    @property
    def blockwise(self) -> bool:
        """Whether the network's parts are trained one by one (:mod:`rlfn.training.blockwise_loss`)."""
        return bool(self.loss.get(BLOCKWISE))

    @property
    def uses_contrastive(self) -> bool:
        """Whether the contrastive loss has a weight."""
        return bool(self.loss.get(CONTRASTIVE))

    def sizes(self, progress: float, scale: int) -> tuple[int, int]:
        """Return (patch in LR px, batch) at ``progress``."""
        patch = self.patch if self.patch is not None else (self.hr_patch or 0) // scale
        batch = self.batch
        for phase in self.phases:
            if progress >= phase.at:
                patch, batch = phase.patch or patch, phase.batch or batch
        return patch, batch


class Validation(Section):
    """Validation: PSNR and SSIM on Y of the averaged weights."""

    sets: tuple[str, ...] = Field(default=(HELD_OUT,), strict=False)
    """`held-out` (of the pack), sets' names such as `Set5` (looked for in $RLFN_SETS_DIR), or folders of pictures; the
    best weights are chosen by the first of them. An empty list means that nothing is validated."""
    every: int | None = Field(default=None, ge=1)
    """Iterations between two validations."""
    minutes: float | None = Field(default=5.0, gt=0.0)
    """Minutes between two validations."""
    pictures: int = Field(default=8, ge=1)
    """Number of pictures from each set, evenly spaced."""
    save: int = Field(default=0, ge=0)
    """Number of pictures of each set to write as `validation/ITERATION/SET/PICTURE.png`."""
    crop: int = Field(default=96, ge=0)
    """held-out: the side of the centre crop in LR px; 0 takes whole pictures."""

    @field_validator("sets", mode="before")
    @classmethod
    def _one(cls, sets: Any) -> Any:
        return (sets,) if isinstance(sets, str) else sets


class Saving(Section):
    """When checkpoints are written."""

    every: int | None = Field(default=None, ge=1)
    """Iterations between two checkpoints."""
    minutes: float | None = Field(default=10.0, gt=0.0)
    """Minutes between two checkpoints."""
    keep: int = Field(default=2, ge=2)
    """Number of newest checkpoints kept; the second newest is a fallback if the newest is damaged."""
    milestones: int | None = Field(default=None, ge=1)
    """Iterations between two checkpoints that are kept for good."""
    onnx: bool = True
    """Whether a finished run also writes `model.onnx`."""
    curves: bool = True
    """Whether a finished run also draws `curves.png`."""


class GuardOptions(Section):
    """When a step is skipped."""

    spike: float = Field(default=4.0, ge=0.0)
    """A loss above this many times its running mean is skipped; above 1. With 0 no loss is too large, and only those
    that are not finite are skipped."""
    max_skipped: int = Field(default=10, ge=1)
    """After this many skipped steps in a row, the run rolls back once, then stops."""
    lr_factor: float = Field(default=0.5, gt=0.0, le=1.0)
    """The factor of the learning rate after the roll-back."""

    @field_validator("spike")
    @classmethod
    def _spike(cls, spike: float) -> float:
        if 0.0 < spike <= 1.0:
            raise OptionError(f"{spike:g} would skip ordinary steps. Allowed: above 1, or 0 to skip no finite loss.")
        return spike


class Recipe(Section):
    """A training run."""

    name: str = ""
    """The file's name without its suffix."""
    about: str = ""
    """A one-line description."""
    extensions: tuple[str, ...] = Field(default=(), strict=False)
    """Python files with your own networks, losses or degradations; they are run."""
    variant: str | dict[str, int | str]
    """The network: a name, or its sizes, as `{ architecture = "rlfn", blocks = 6, channels = 44, mid = 44 }`."""
    scale: int
    """The upscaling factor."""
    seed: int = Field(default=0, ge=0)
    """Random seed of the initial weights and the samples."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic precision. `auto`: bf16-mixed on CUDA or a processor that computes faster in it, otherwise 32-true;
    kept on resuming."""
    compile: bool = False
    """Whether to use `torch.compile`: slower to start, mostly faster on a GPU."""
    log_every: int = Field(default=50, ge=1)
    """Iterations between two lines of metrics."""
    data: Data = Data()
    """Training data."""
    validation: Validation = Validation()
    """Validation during the run."""
    saving: Saving = Saving()
    """When checkpoints are written."""
    guard: GuardOptions = GuardOptions()
    """When a step is skipped."""
    stages: tuple[Stage, ...] = Field(min_length=1, strict=False)
    """The stages, in order."""

    @field_validator("variant")
    @classmethod
    def _variant(cls, given: str | dict[str, int | str]) -> str | dict[str, int | str]:
        _find_variant(given)
        return given

    @field_validator("scale")
    @classmethod
    def _scale(cls, scale: int) -> int:
        if scale not in SCALES:
            raise OptionError(f"Scale {scale} is not possible. Allowed: {SCALES.start} to {SCALES.stop - 1}.")
        return scale

    @property
    def network(self) -> Variant:
        """The row of the table of networks, or one of the recipe's own sizes."""
        return _find_variant(self.variant)

    def hash(self) -> str:
        """Return the sha256 of the resolved recipe: equal for runs that were asked for the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def _find_variant(given: str | dict[str, int | str]) -> Variant:
    if isinstance(given, str):
        return get_variant(given)
    sizes = dict(given)
    return variant_from_sizes(sizes.pop("architecture", "(none)"), sizes)
