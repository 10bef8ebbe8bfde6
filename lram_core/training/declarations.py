"""What the type of a setting says: its kind, its range, its choices.

One reading of the annotations in :mod:`lram_core.training.config`, for the command's options and
the manual's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from lram_core.training.settings import RunSettings

_TYPES = get_type_hints(RunSettings, include_extras=True)


@dataclass(frozen=True)
class Declared:
    """What is declared of a setting.

    Attributes:
        kind: the Python type, without its limits.
        low, high: smallest and largest value; None for no limit.
        above: whether the value must be above ``low``, not at least.
        choices: what it may be, of a setting with a few words to choose from.
        parts: of a list, what its entries are.
    """

    kind: Any
    low: float | None = None
    high: float | None = None
    above: bool = False
    choices: tuple[str | bool, ...] = ()
    parts: tuple[Declared, ...] = ()

    @property
    def limited(self) -> bool:
        return self.low is not None or self.high is not None


def declared(setting: str) -> Declared:
    """Return what the type of a setting says."""
    return _read(_TYPES[setting])


def _read(annotation: Any) -> Declared:
    notes: tuple[Any, ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *rest = get_args(annotation)
        notes = tuple(rest)
    if get_origin(annotation) is Literal:
        return Declared(str, choices=get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        each = ((True, False) if part is bool else get_args(part) for part in get_args(annotation))
        return Declared(str, choices=tuple(chain.from_iterable(each)))
    if get_origin(annotation) is tuple:
        entries = [each for each in get_args(annotation) if each is not Ellipsis]
        return Declared(tuple, parts=tuple(_read(each) for each in entries))
    low: Any = None
    high: Any = None
    above = False
    for note in notes:
        for bound in note.metadata if isinstance(note, FieldInfo) else ():
            if isinstance(bound, Gt):
                low, above = bound.gt, True
            elif isinstance(bound, Ge):
                low = bound.ge
            elif isinstance(bound, Le):
                high = bound.le
    return Declared(get_origin(annotation) or annotation, low, high, above)
