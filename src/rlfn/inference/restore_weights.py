"""Which weights restore: from a model for clean pictures and a strength to the weights that compute it."""

from __future__ import annotations

from rlfn.errors import OptionError
from rlfn.inference.restore import RestoreStrength
from rlfn.inference.sizing import reaches
from rlfn.models import catalog
from rlfn.models.blend import Blend
from rlfn.models.catalog import Model
from rlfn.models.source import ModelSource
from rlfn.wording import listing, setting

_PHOTO = "-photo"
"""How names of families for photographs end."""

APART = {"rlfn-s-photo-x4": 92, "rlfn-xs-photo-x4": 88}
"""Models for photographs whose blends with the clean weights are no better than the better one of both, and the highest
quality of a JPEG file at which those for photographs are it: ``benchmarks/restore.py``."""


def photo_model(clean: Model, factor: float) -> Model | None:
    """Return the model for photographs of the same lineage, of the smallest scale that reaches ``factor``, if any."""
    family = catalog.photo_families().get(clean.family)
    models = (model for model in catalog.models().values() if model.family == family)
    return min((one for one in models if reaches(one.scale, factor)), key=lambda one: one.scale, default=None)


def is_photo(model: Model) -> bool:
    """Tell whether a model is for photographs itself: of a lineage, or of a family that exists for them alone."""
    return model.family.endswith(_PHOTO)


def restoring(
    clean: Model, factor: float, choice: RestoreStrength, precision: str
) -> tuple[str | Blend, RestoreStrength]:
    """Return the weights for a strength that a picture called for, and the strength that they have.

    Where weights cannot be blended, in int8 or because they have no clean end, it is the nearer of 0 and 1. Where those
    for photographs have no int8 file, int8 does not restore.

    Args:
        clean: the model for clean pictures.
        factor: by how much the picture is enlarged.
        choice: the strength wanted.
        precision: how it is computed.
    """
    photo = photo_model(clean, factor)
    if photo is None:
        return clean.name, RestoreStrength(0.0, f"no weights for photographs of {clean.family} reach x{factor:g}")
    if choice.strength > 0.0 and not _computes(photo, precision):
        why = f"{photo.name} has no int8 file"
        return clean.name, RestoreStrength(0.0, why, f"not restored, though it shows {choice.reason}: {why}")
    if 0.0 < choice.strength < 1.0 and not _blends(photo, precision):
        choice = choice.at_an_end()
    if choice.strength == 0.0:
        return clean.name, choice
    if choice.strength == 1.0:
        return photo.name, choice
    assert photo.clean is not None
    return Blend(ModelSource(photo.clean), ModelSource(photo.name), choice.strength), choice


def check_strength(clean: Model | None, factor: float, strength: float, precision: str) -> None:
    """Refuse a strength that was asked for and that there are no weights for.

    Raises:
        OptionError: the model has no lineage for photographs, or weights that cannot be blended.
    """
    if strength == 0.0:
        return
    photo = None if clean is None else photo_model(clean, factor)
    if photo is None:
        have = listing(catalog.photo_families()) or "none yet"
        what = "this model" if clean is None else f"{clean.name} at x{factor:g}"
        raise OptionError(
            f"A strength of {strength:g} was asked for, but there are no weights for photographs of {what}. "
            f"Families that have them: {have}. {setting('restore', 'off')} goes with every model."
        )
    if not _computes(photo, precision):
        raise OptionError(
            f"A strength of {strength:g} was asked for, but {photo.name} has no int8 file. "
            f"Give {setting('restore', 'off')}, or {setting('precision', 'fp32')}."
        )
    if strength < 1.0 and not _blends(photo, precision):
        raise OptionError(
            f"A strength of {strength:g} was asked for, but the weights of {photo.name} cannot be blended"
            f"{' in int8' if precision == 'int8' else ''}. Give {setting('restore', 'off')} or {setting('restore', 1)}"
            f"{', or ' + setting('precision', 'fp32') if precision == 'int8' else ''}."
        )


def _computes(photo: Model, precision: str) -> bool:
    return precision != "int8" or precision in photo.precisions


def _blends(photo: Model, precision: str) -> bool:
    return photo.clean is not None and precision != "int8"
