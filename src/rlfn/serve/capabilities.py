"""What a server offers: families, models, formats and limits, as returned by ``GET v1/models``."""

from __future__ import annotations

from typing import Any

from rlfn.models import catalog
from rlfn.serve.media import writable_formats
from rlfn.serve.settings import ServeSettings


def capabilities(settings: ServeSettings) -> dict[str, Any]:
    """Return the capabilities as JSON."""
    models = catalog.models().values()
    return {
        "families": [
            {
                "name": family,
                "scales": sorted({model.scale for model in models if model.family == family}),
                "about": about(family),
            }
            for family in catalog.families()
        ],
        "models": [
            {
                "name": model.name,
                "family": model.family,
                "scale": model.scale,
                "parameters": model.parameters,
                "precisions": list(model.precisions),
                "scores": model.scores,
                "licence": model.licence,
            }
            for model in models
        ],
        "formats": writable_formats(),
        "limits": {
            "body_bytes": settings.max_body,
            "pixels": settings.max_pixels,
            "result_pixels": settings.max_result_pixels,
            "queue": settings.queue,
            "seconds": settings.seconds,
            "at_once": settings.workers,
        },
        "app": settings.app is not None,
    }


def about(family: str) -> str:
    """Describe a family in one sentence."""
    models = catalog.models().values()
    own = max((model for model in models if model.family == family), key=lambda model: model.scale)
    first = next(iter(models))
    peers = [model for model in models if model.family == first.family and model.scale == own.scale]
    smaller = round(peers[0].parameters / own.parameters) if peers else 1
    cost = "" if smaller < 2 else f"About {smaller} times less work than {first.family}"
    if family in catalog.photo_families().values() or own.family.endswith("-photo"):
        purpose = "for photographs: noise and compression are always removed in full"
        return f"{cost}, {purpose}." if cost else f"{purpose[0].upper()}{purpose[1:]}."
    return f"{cost}: faster, a little less sharp." if cost else "The sharpest."
