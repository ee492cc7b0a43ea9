"""What is trained in a study in miniature: its arms, and the claims that they test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlfn.studies.paired import Claim
from rlfn.studies.trainings import Part

AGAIN = "again, with other random numbers"
"""The end of the label of a null arm."""


@dataclass(frozen=True)
class Arm:
    """One way to train a network.

    Attributes:
        name: short, for messages and as the key of ``after`` and ``start``.
        label: for people.
        variant: the network.
        parts: its stages; they come after those of ``after``.
        scale: the upscaling factor.
        after: the arm of which this one is a continuation: the same run with more stages.
        start: the arm from whose weights this one's first stage starts.
        shifted: whether it draws other random numbers than the other arms of its seed: a null arm.
        share: of the contrastive loss in L1's gradient, in the last stage; 0 for none.
        contrastive: the features of the contrastive loss.
        as_long_as: the arm whose time the only stage is to take, its own steps being quicker or slower.
        shown: whether it is a row of the table.
    """

    name: str
    label: str
    variant: str = "rlfn-mini"
    parts: tuple[Part, ...] = (Part(),)
    scale: int = 4
    after: str | None = None
    start: str | None = None
    shifted: bool = False
    share: float = 0.0
    contrastive: Mapping[str, Any] = field(default_factory=dict)
    as_long_as: str | None = None
    shown: bool = True


@dataclass(frozen=True)
class MiniStudy:
    """A study in miniature.

    Attributes:
        title: of its page.
        about: what is compared, in sentences.
        arms: each one after those that it needs.
        claims: judged by the arms' labels.
        timed: whether the networks' latencies are measured.
        remarks: further sentences of the page.
        choices: labels of rows of which the best on the held-out pictures is named.
    """

    title: str
    about: str
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    timed: bool = False
    remarks: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


_WS0, _WS1, _WS2 = "ws_0: one stage", "ws_1: two stages", "ws_2: three stages"
_E, _CLR = "e2000: one stage of twice the length", "clr: two stages, the optimiser's state too"
_X2 = "x2 for one stage, then x4 for one"
_WS1_AGAIN = f"ws_1 {AGAIN}"


def _strategies(variant: str, scale: int) -> tuple[Arm, ...]:
    """Return the arms that the studies of warm starts share."""
    two = (Part(), Part())
    return (
        Arm("ws_0", _WS0, variant, scale=scale),
        Arm("ws_1", _WS1, variant, scale=scale, after="ws_0"),
        Arm("e2000", _E, variant, (Part(2.0),), scale=scale),
        Arm("again", _WS1_AGAIN, variant, two, scale=scale, shifted=True),
        Arm("ws_2", _WS2, variant, scale=scale, after="ws_1"),
    )


_CARRIED = (Part(settings={"carry_optimizer": True}),)

WARM_START = MiniStudy(
    "Warm starts, in miniature",
    "Each stage runs the same schedule from its beginning. The arms with two stages in all have seen as many samples.",
    (
        *_strategies("rlfn-mini", 4),
        Arm("clr", _CLR, parts=_CARRIED, after="ws_0"),
        Arm("x2", "x2 for one stage", scale=2, shown=False),
        Arm("x2-start", _X2, start="x2"),
    ),
    (
        Claim(_WS1, _E),
        Claim(_WS1, _CLR),
        Claim(_WS2, _WS1),
        Claim(_WS1, _WS0),
        Claim(_E, _WS0, source="asked here"),
        Claim(_X2, _WS0, source="asked here"),
        Claim(_X2, _WS1, "apart", source="asked here"),
        Claim(_WS1_AGAIN, _WS1, "apart", source="null"),
    ),
)

_L1, _L1_AGAIN = "L1 alone", f"L1 alone {AGAIN}"
_SHARES = (0.005, 0.04, 0.3)
_MIDDLE = _SHARES[1]
EXTRACTOR = {"extractor": "random-tanh", "width": 16, "seed": 0, "ratio": "batch"}
"""The features that the contrastive arms compare where they say nothing else; narrow, as the networks are."""


def _contrasted(name: str, label: str, share: float = _MIDDLE, **changed: Any) -> Arm:
    return Arm(name, label, after="ws_1", share=share, contrastive={**EXTRACTOR, **changed})


def _percent(share: float) -> str:
    return f"random-tanh, {share:.1%} of L1's gradient"


CONTRASTIVE = MiniStudy(
    "The contrastive loss, in miniature",
    "Two stages with L1, which all arms share, then a stage with L1 and the contrastive loss. Its weight is given as "
    f"the share of L1's gradient with respect to SR when the stage begins, {_MIDDLE:.1%} where a row says no other. "
    "Extractors have 16 channels and seed 0; the loss is the ratio of the batch's mean distances.",
    (
        *(Arm(arm.name, arm.label, after=arm.after, shown=False) for arm in _strategies("rlfn-mini", 4)[:2]),
        Arm("l1", _L1, after="ws_1"),
        *(_contrasted(f"share-{share}", _percent(share), share) for share in _SHARES),
        Arm("l1-again", _L1_AGAIN, start="ws_1", shifted=True),
        _contrasted("sample", "random-tanh, each sample's ratio", ratio="sample"),
        _contrasted("relu", "random-relu", extractor="random-relu"),
        _contrasted("seed", "random-tanh, another seed", seed=1),
        _contrasted("width", "random-tanh, 4 channels", width=4),
    ),
    (
        *(Claim(_percent(share), _L1) for share in _SHARES),
        Claim("random-tanh, each sample's ratio", _percent(_MIDDLE), "apart", "asked here"),
        Claim("random-tanh, another seed", _percent(_MIDDLE), "apart", "asked here"),
        Claim("random-tanh, 4 channels", _percent(_MIDDLE), "apart", "asked here"),
        Claim(_percent(_MIDDLE), "random-relu"),
        Claim(_L1_AGAIN, _L1, "apart", "null"),
    ),
    remarks=(
        "VGG-19: not measured. It takes hundreds of times as long as the network in miniature; "
        "the study at the other budgets has its rows.",
    ),
    choices=tuple(_percent(share) for share in _SHARES),
)

_BLOCKS = {"RFDB": "rfdb-mini", "RFDBR48": "rfdbr48-mini", "RFDBR52": "rfdbr52-mini", "RLFB": "rlfb-mini"}
_SAME_TIME = ", RFDB's time"

ARCHITECTURE = MiniStudy(
    "The block, from RFDN's to RLFN's, in miniature",
    "Distillation branches removed (RFDBR48), a twelfth more channels (RFDBR52), the additions inside the shallow "
    "residual blocks removed (RLFB). Two blocks in RFDN's frame, x4, one stage: of equal steps, and of as many steps "
    "as take RFDB's time here.",
    (
        *(Arm(variant, label, variant) for label, variant in _BLOCKS.items()),
        Arm("rfdb-again", f"RFDB {AGAIN}", "rfdb-mini", shifted=True),
        *(
            Arm(f"{variant}-time", label + _SAME_TIME, variant, as_long_as="rfdb-mini")
            for label, variant in list(_BLOCKS.items())[1:]
        ),
    ),
    (
        Claim("RLFB", "RFDB", "same"),
        Claim("RFDB", "RFDBR48"),
        Claim("RFDBR52", "RFDBR48"),
        Claim("RLFB", "RFDBR52", "same"),
        *(Claim(label + _SAME_TIME, "RFDB", source="asked here") for label in list(_BLOCKS)[1:]),
        Claim(f"RFDB {AGAIN}", "RFDB", "apart", "null"),
    ),
    timed=True,
)

ESA = MiniStudy(
    "ESA's group of convolutions, in miniature",
    "RLFB in RFDN's frame, x4, one stage: ESA with three 3x3 convolutions on its small map, and with the one that RLFN "
    "keeps.",
    (
        Arm("rlfb-mini", "three convolutions", "rlfb-mini"),
        Arm("one", "one convolution", "rlfb-esa1-mini"),
        Arm("again", f"one convolution {AGAIN}", "rlfb-esa1-mini", shifted=True),
    ),
    (
        Claim("one convolution", "three convolutions", "same"),
        Claim(f"one convolution {AGAIN}", "one convolution", "apart", "null"),
    ),
    timed=True,
)

_BOTH = f"ws_2 with the contrastive loss ({_MIDDLE:.1%}) in the last stage"

GENERALITY = MiniStudy(
    "Warm start and contrastive loss on EDSR, in miniature",
    "EDSR of two blocks and eight channels, x2: at x4 two thirds of its time go into the upsampling.",
    (
        *_strategies("edsr-mini", 2),
        Arm("both", _BOTH, "edsr-mini", scale=2, after="ws_1", share=_MIDDLE, contrastive=EXTRACTOR),
    ),
    (
        Claim(_WS1, _E),
        Claim(_WS2, _WS1),
        Claim(_BOTH, _WS2),
        Claim(_E, _WS0, source="asked here"),
        Claim(_WS1_AGAIN, _WS1, "apart", "null"),
    ),
)

MINI: dict[str, MiniStudy] = {
    "architecture": ARCHITECTURE,
    "contrastive": CONTRASTIVE,
    "esa": ESA,
    "generality": GENERALITY,
    "warm-start": WARM_START,
}
"""The studies that can be run in miniature, by the names that ``rlfn study`` uses."""
