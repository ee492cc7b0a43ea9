"""How samples come to the device: drawn in a thread on the CPU, or gathered on a GPU that holds the pictures itself.

Both give the same samples for the same seed: which crop is taken is always drawn by the CPU's own random stream.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlfn.data.crops import SampleBatch, SampleCrop, draw_crop, sample_batch, sample_stream
from rlfn.data.store import Indices, PictureStore
from rlfn.training.recipe import Recipe
from rlfn.training.state import TrainingState

_SHARE = 0.5  # of a GPU's free memory that the pictures may take
_TYPICAL = 16  # samples of typical_batch


@dataclass(frozen=True)
class WantedBatch:
    """What the samples of a step are a pure function of: the seed, the step, this device's share, and the patch."""

    seed: int
    iteration: int
    first: int
    count: int
    patch: int


class Feeder(Protocol):
    """Brings the samples of a run to its device."""

    def draw(self, wanted: WantedBatch) -> Any:
        """Do what the CPU can do for a batch; this runs in another thread."""
        ...

    def load(self, drawn: Any) -> tuple[Tensor, Tensor]:
        """Return lr (N, 3, h, w) and hr (N, 3, h scale, w scale) as uint8 on the device."""
        ...


class HostFeeder:
    """Draws whole samples on the CPU; a GPU gets them from pinned memory without waiting."""

    def __init__(self, recipe: Recipe, store: PictureStore, device: torch.device) -> None:
        self._recipe = recipe
        self._store = store
        self._pictures = store.split(recipe.data.held_out, "train")
        self._degradation = recipe.data.make_degradation()
        self._device = device

    def draw(self, wanted: WantedBatch) -> SampleBatch:
        """See :meth:`Feeder.draw`."""
        return sample_batch(
            self._store,
            seed=wanted.seed,
            iteration=wanted.iteration,
            first=wanted.first,
            count=wanted.count,
            scale=self._recipe.scale,
            patch=wanted.patch,
            pictures=self._pictures,
            degradation=self._degradation,
            skip_flat=self._recipe.data.skip_flat,
        )

    def load(self, drawn: SampleBatch) -> tuple[Tensor, Tensor]:
        """See :meth:`Feeder.load`."""
        lr, hr = (torch.from_numpy(half) for half in drawn)
        if self._device.type != "cuda":
            return lr.to(self._device), hr.to(self._device)
        return lr.pin_memory().to(self._device, non_blocking=True), hr.pin_memory().to(self._device, non_blocking=True)


class DeviceFeeder:
    """Keeps the pictures on the device and gathers crops there; the CPU only draws where they lie.

    Args:
        recipe: one whose LR pictures are those of the pack.
        store: the pictures.
        device: where they are kept; :meth:`size` says how many bytes they need.
    """

    def __init__(self, recipe: Recipe, store: PictureStore, device: torch.device) -> None:
        self._recipe = recipe
        self._store = store
        self._pictures = store.split(recipe.data.held_out, "train")
        self._device = device
        self._layers = {scale: _flat(store, self._pictures, scale, device) for scale in (recipe.scale, 1)}

    @staticmethod
    def size(recipe: Recipe, store: PictureStore) -> int:
        """Return the bytes that the pictures of a recipe need on the device."""
        pixels = store.pixels(store.split(recipe.data.held_out, "train"))
        return 3 * (pixels + pixels // recipe.scale**2)

    def draw(self, wanted: WantedBatch) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return the places of the samples in the LR pictures and in the HR ones, and the patch."""
        scale, skip_flat = self._recipe.scale, self._recipe.data.skip_flat
        crops = []
        for number in range(wanted.first, wanted.first + wanted.count):
            random = sample_stream(wanted.seed, wanted.iteration, number)
            crops.append(draw_crop(self._store, random, self._pictures, wanted.patch, scale, skip_flat))
        lr, hr = (self._places(crops, wanted.patch, factor) for factor in (1, scale))
        return lr, hr, wanted.patch

    def load(self, drawn: tuple[NDArray[np.int64], NDArray[np.int64], int]) -> tuple[Tensor, Tensor]:
        """See :meth:`Feeder.load`."""
        lr, hr, patch = drawn
        scale = self._recipe.scale
        return self._gather(lr, scale, patch), self._gather(hr, 1, patch * scale)

    def _places(self, crops: Sequence[SampleCrop], patch: int, factor: int) -> NDArray[np.int64]:
        """Return for each crop where its first sample lies, and the steps to the next channel, row and column."""
        _, starts = self._layers[self._recipe.scale if factor == 1 else 1]
        side, shrink = patch * factor, self._recipe.scale // factor
        rows = []
        for crop in crops:
            height, width = (int(length) // shrink for length in self._store.sides[crop.picture])
            start = starts[crop.picture] + crop.top * factor * width + crop.left * factor
            down, right = width, 1
            if crop.mirror_rows:
                start, down = start + (side - 1) * down, -down
            if crop.mirror_columns:
                start, right = start + (side - 1) * right, -right
            rows.append((start, height * width, *((right, down) if crop.turn else (down, right))))
        return np.array(rows, np.int64)

    def _gather(self, places: NDArray[np.int64], scale: int, side: int) -> Tensor:
        samples, _ = self._layers[scale]
        table = torch.from_numpy(places)
        if self._device.type == "cuda":
            table = table.pin_memory()
        start, channel, down, right = table.to(self._device, non_blocking=True)[:, :, None, None, None].unbind(1)
        channels = torch.arange(3, device=self._device)[:, None, None]
        line = torch.arange(side, device=self._device)
        return samples[start + channel * channels + down * line[:, None] + right * line]


def _flat(store: PictureStore, pictures: Indices, scale: int, device: torch.device) -> tuple[Tensor, dict[int, int]]:
    """Return pictures as one tensor of samples on the device, and where each begins."""
    starts, total = {}, 0
    for picture in map(int, pictures):
        starts[picture] = total
        height, width = (int(side) // scale for side in store.sides[picture])
        total += 3 * height * width
    flat = torch.empty(total, dtype=torch.uint8, device=device)  # one allocation: joining tensors would take two
    for picture, start in starts.items():
        samples = torch.from_numpy(np.array(store.planes(picture, scale))).flatten()
        flat[start : start + samples.numel()].copy_(samples)
    return flat, starts


def make_feeder(recipe: Recipe, store: PictureStore, device: torch.device) -> Feeder:
    """Keep the pictures on a GPU that has the room and needs no degradation of them; else draw on the CPU."""
    if device.type == "cuda" and recipe.data.make_degradation().packed:
        free, _ = torch.cuda.mem_get_info(device)
        if DeviceFeeder.size(recipe, store) < _SHARE * free:
            return DeviceFeeder(recipe, store, device)
    return HostFeeder(recipe, store, device)


def wanted_batches(recipe: Recipe, state: TrainingState, rank: int, world: int) -> Iterator[WantedBatch]:
    """Say what to draw next, from the state's position on; to be read in the thread that changes the state."""
    stage = recipe.stages[state.stage]
    seed, first_of_stage = recipe.seed + state.roll_backs, state.total - state.iteration
    for iteration in itertools.count(state.total):
        patch, batch = stage.sizes(state.progress(stage, iteration - first_of_stage), recipe.scale)
        yield WantedBatch(seed, iteration, rank * (batch // world), batch // world, patch)


def typical_batch(recipe: Recipe, state: TrainingState) -> WantedBatch:
    """Say what to draw to see what a stage's samples are like: the same for every process."""
    wanted = next(wanted_batches(recipe, state, 0, 1))
    return replace(wanted, count=_TYPICAL)
