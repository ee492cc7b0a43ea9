"""Which arguments count as numbers: those of Python and NumPy, but no booleans."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether ``value`` is a whole number; NumPy's count, booleans do not.

    >>> is_whole(2), is_whole(2.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> TypeGuard[float]:
    """Tell whether ``value`` is a real number; NumPy's count, booleans do not.

    >>> is_real(2), is_real(2.5), is_real(True)
    (True, True, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)
