"""Conflicts between keys of a recipe that are each valid on their own."""

from __future__ import annotations

from collections.abc import Collection

from rlfn.errors import OptionError
from rlfn.training.objective import BLOCKWISE, DISTILLATION
from rlfn.training.recipe import HELD_OUT, Recipe, Stage


def key_conflicts(recipe: Recipe, removed: Collection[tuple[int | str, ...]] = ()) -> list[str]:
    """Return a line for each conflict between keys, starting with their place.

    Args:
        recipe: the recipe, without the keys at ``removed``.
        removed: the places of wrong keys, which have been reported; that they are missing is no mistake of its own.
    """
    found = []
    if HELD_OUT in recipe.validation.sets and recipe.data.held_out == 0.0:
        found.append(
            "validation.sets: nothing is held out. Set data.held_out above 0, name a set, or give [] for no validation."
        )
    try:
        recipe.data.make_degradation()
    except OptionError as error:
        found.append(f"data: {error}")
    first = recipe.stages[0]
    if first.init == "previous" or first.carry_optimizer:
        found.append("stages.0: the first stage has none before it: give it another init, and no carry_optimizer.")
    for number, stage in enumerate(recipe.stages):
        wrong = {str(place[2]) for place in removed if place[:2] == ("stages", number) and len(place) > 2}
        found += [f"stages.{number}: {text}" for text in _stage_conflicts(stage, wrong)]
        before = recipe.stages[number - 1]
        if number and stage.carry_optimizer and before.optimizer.name != stage.optimizer.name:
            found.append(
                f"stages.{number}.carry_optimizer: the state of {before.optimizer.name} cannot be carried into "
                f"{stage.optimizer.name}. Use the same optimiser in both stages."
            )
        if number and stage.carry_optimizer and before.freeze != stage.freeze:
            found.append(f"stages.{number}.carry_optimizer: both stages must freeze the same parameters.")
    return found


def _stage_conflicts(stage: Stage, wrong: set[str]) -> list[str]:
    found = []
    if (stage.iterations is None) == (stage.hours is None) and not wrong & {"iterations", "hours"}:
        found.append("a stage needs a length: give either iterations or hours.")
    if (stage.patch is None) == (stage.hr_patch is None) and not wrong & {"patch", "hr_patch"}:
        found.append("a stage needs the size of its patches: give either patch (LR px) or hr_patch (HR px).")
    for loss in (DISTILLATION, BLOCKWISE):
        if stage.loss.get(loss) and stage.teacher is None and "teacher" not in wrong:
            found.append(f"{loss} needs a teacher: give the path of a checkpoint.")
    if stage.blockwise and (sum(map(bool, stage.loss.values())) > 1 or stage.int8):
        found.append("blockwise does not train the network as a whole: set every other loss to 0, and no int8.")
    if [phase.at for phase in stage.phases] != sorted({phase.at for phase in stage.phases}):
        found.append("the phases of a stage must be in order of `at`.")
    if stage.recycle and (stage.carry_optimizer or stage.freeze):
        found.append("recycle makes new weights, so it cannot be combined with carry_optimizer or freeze.")
    for batch in (stage.batch, *(phase.batch or stage.batch for phase in stage.phases)):
        if batch % stage.accumulate:
            found.append(f"a batch of {batch} cannot be taken in {stage.accumulate} equal parts (accumulate).")
    return found
