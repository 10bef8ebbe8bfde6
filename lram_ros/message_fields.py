"""Numbers out of ROS messages by field path, and what a message type says about them.

Works on generated message classes and, because only attribute names are used, on the look-alikes
that a bag reader makes. No rclpy is needed.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.checks import finite32
from lram_core.contract import ObservationField
from lram_core.errors import ContractError, LramError, listed
from lram_ros.images import DecodedImage, ImageError, decode, resize
from lram_ros.input_topic import FieldSource
from lram_ros.units import conversion

Array = npt.NDArray[np.float64]

_NUMBERS = {
    "boolean",
    "octet",
    "float",
    "double",
    "long double",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_FIXED = re.compile(r"(.+)\[(\d+)\]$")
_SEQUENCE = re.compile(r"sequence<([^,>]+)(?:, \d+)?>$")
_NAME_LISTS = ("name", "joint_names")
_IMU = "sensor_msgs/msg/Imu"


class InputError(LramError):
    """A message that must not reach the policy: malformed or not finite."""


def message_class(type_name: str) -> Any:
    """Return the class of ``package/msg/Name``.

    Raises:
        ContractError: the package or the message is not installed.
    """
    package, _, name = type_name.split("/")
    try:
        module = importlib.import_module(f"{package}.msg")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in (package, "rosidl_parser"):
            raise
        raise ContractError(f"message type {type_name}: package {package} is not built") from None
    found = getattr(module, name, None)
    if found is None or not hasattr(found, "get_fields_and_field_types"):
        known = [n for n in vars(module) if n[:1].isupper() and not n.endswith("_")]
        raise ContractError(f"message type {type_name} is unknown; {package} has {listed(known)}")
    return found


def has_header(cls: Any) -> bool:
    """Whether messages of this type carry a stamp."""
    return cls.get_fields_and_field_types().get("header") == "std_msgs/Header"


class FieldReader:
    """Reads one observation field out of a message of a known type.

    Attributes:
        size: number of values of one reading, None where only a message itself can tell.
    """

    def __init__(
        self,
        source: FieldSource,
        type_name: str,
        where: str,
        wanted: ObservationField | None = None,
        frame: str = "",
    ) -> None:
        """Args:
            source: the field in the robot contract.
            type_name: of the messages.
            where: contract and topic, for messages.
            wanted: the bundle's side: readings are converted to its unit, and of its size. None:
                values stay in the contract's unit.
            frame: header.frame_id that every message must have; empty for any.

        Raises:
            ContractError: the type has no such path, its names do not fit it, or size or unit are
                not the bundle's.
        """
        self.source = source
        shown = source.path or "image"
        self.where = f"{where}: {source.name} ({shown} of {type_name})"
        self.size: int | None
        self._read: Callable[[Any], Any]
        self._order: list[int] = []
        self._seen_names: list[str] | None = None
        self._frame = frame
        if frame and not has_header(message_class(type_name)):
            raise ContractError(f"{self.where}: frame '{frame}' given, but it has no header")
        if source.image is not None:
            self.size = source.image.values
            self._read = self._picture
        else:
            self._find_reader(type_name)
        self._estimated = _imu_covariance(source.path) if type_name == _IMU else None
        if wanted is not None:
            self._check_size(wanted)
        self._gain, self._offset = self._conversion(wanted)

    def read(self, message: Any) -> Array:
        """Return the values of one reading, float64 (size,), in the bundle's unit if it is known.

        Raises:
            InputError: a name is missing or doubled, the arrays disagree, the frame is another,
                a picture is damaged, or a value is not finite in float32.
        """
        if self._frame and message.header.frame_id != self._frame:
            raise InputError(
                f"{self.where}: frame is '{message.header.frame_id}', expected '{self._frame}'"
            )
        if self._estimated is not None and self._estimated(message)[0] == -1:
            raise InputError(f"{self.where}: not estimated (its covariance begins with -1)")
        values = np.array(self._read(message), dtype=np.float64).reshape(-1)
        if self.size is not None and values.size != self.size:
            raise InputError(f"{self.where}: {values.size} values, expected {self.size}")
        found = values
        if finite32(values).all() and self._gain is not None:
            values = values * self._gain + self._offset
        if not finite32(values).all():  # the model's numbers are float32
            raise InputError(f"{self.where}: not finite in float32: {found.tolist()}")
        return values

    def published(self, values: npt.ArrayLike) -> Array:
        """Return values in the bundle's unit as a message carries them: the inverse of read."""
        found = np.asarray(values, dtype=np.float64)
        return found if self._gain is None else (found - self._offset) / self._gain

    def _find_reader(self, type_name: str) -> None:
        source = self.source
        parent, kind = self._resolve(type_name)
        sequence = _SEQUENCE.match(kind)
        if source.names:
            if not sequence or sequence[1] not in _NUMBERS:
                raise ContractError(f"{self.where}: names need a sequence of numbers, not {kind}")
            self.size = len(source.names)
            self._read = self._by_name
            self._prepare_names(parent)
        elif sequence and sequence[1] in _NUMBERS:
            self.size = None
            self._read = attrgetter(source.path)
        elif (fixed := _FIXED.match(kind)) and fixed[1] in _NUMBERS:
            self.size = int(fixed[2])
            self._read = attrgetter(source.path)
        else:
            leaves = self._leaves(kind, source.path)
            self.size = len(leaves)
            self._read = attrgetter(*leaves)

    def _check_size(self, wanted: ObservationField) -> None:
        history = self.source.history
        # None: an array of any length; each message is checked against the bundle's size.
        if self.size is None and wanted.size % history == 0:
            self.size = wanted.size // history
        if self.size is None or self.size * history != wanted.size:
            times = f" x {history} readings" if history > 1 else ""
            raise ContractError(
                f"{self.where}: gives {self.size or 'any number of'} values{times}, "
                f"the bundle expects {wanted.size}"
            )

    def _conversion(self, wanted: ObservationField | None) -> tuple[Array | None, Array | float]:
        """Gain and offset of a reading; no gain where it is passed on as it is."""
        limits = self.source.range
        if limits is not None:
            if self.size is not None and len(limits.physical) not in (1, self.size):
                raise ContractError(
                    f"{self.where}: range has {len(limits.physical)} rows for {self.size} values"
                )
            if wanted is not None and wanted.unit != "1":
                raise ContractError(
                    f"{self.where}: range makes normalised values, unit '1'; "
                    f"the bundle expects '{wanted.unit}'"
                )
            return limits.to_normalised()
        if wanted is None or wanted.unit == self.source.unit:
            return None, 0.0
        try:
            gain = conversion(self.source.unit, wanted.unit)
        except ContractError as error:
            raise ContractError(
                f"{self.where}: unit is '{self.source.unit}', "
                f"the bundle expects '{wanted.unit}': {error}"
            ) from None
        return np.array([gain]), 0.0

    def _picture(self, message: Any) -> npt.NDArray[np.float64]:
        """Values 0 to 1, rows from the top, channels last."""
        size = self.source.image
        assert size is not None
        try:
            if isinstance(message, DecodedImage):
                pixels = message.pixels
            else:
                pixels = resize(decode(message), size)
        except ImageError as error:
            raise InputError(f"{self.where}: {error}") from None
        return pixels / 255.0

    def _resolve(self, type_name: str) -> tuple[str, str]:
        """Follow the path; returns the type that holds its last part, and that part's type."""
        current = type_name
        parts = self.source.path.split(".")
        for depth, part in enumerate(parts):
            fields = message_class(_full(current)).get_fields_and_field_types()
            if part not in fields:
                raise ContractError(
                    f"{self.where}: {_full(current)} has no field '{part}'; it has {listed(fields)}"
                )
            if depth == len(parts) - 1:
                return current, fields[part]
            current = fields[part]
            if "/" not in current or _SEQUENCE.match(current) or _FIXED.match(current):
                raise ContractError(f"{self.where}: '{part}' is {current}, it has no fields")
        raise ContractError(f"{self.where}: empty path")

    def _leaves(self, kind: str, path: str) -> list[str]:
        """Paths of all numbers in ``kind``, in the order of its definition."""
        if kind in _NUMBERS:
            return [path]
        if "/" not in kind or _SEQUENCE.match(kind) or _FIXED.match(kind):
            raise ContractError(f"{self.where}: {path} is {kind}, which is not a set of numbers")
        fields = message_class(_full(kind)).get_fields_and_field_types()
        return [leaf for n, k in fields.items() for leaf in self._leaves(k, f"{path}.{n}")]

    def _prepare_names(self, parent: str) -> None:
        fields = message_class(_full(parent)).get_fields_and_field_types()
        lists = [n for n in _NAME_LISTS if fields.get(n) == "sequence<string>"]
        if not lists:
            raise ContractError(
                f"{self.where}: names given, but {_full(parent)} has no list of names "
                f"({listed(_NAME_LISTS)})"
            )
        prefix = self.source.path.rpartition(".")[0]
        self._names = attrgetter(f"{prefix}.{lists[0]}" if prefix else lists[0])
        self._values = attrgetter(self.source.path)

    def _by_name(self, message: Any) -> list[float]:
        names, values = self._names(message), self._values(message)
        if names != self._seen_names:
            self._order = find_names(self.source.names, list(names), self.where)
            self._seen_names = list(names)
        if len(values) != len(names):
            raise InputError(f"{self.where}: {len(names)} names, but {len(values)} values")
        return [values[i] for i in self._order]


def find_names(wanted: Sequence[str], names: list[str], where: str) -> list[int]:
    """Return where each of ``wanted`` stands in ``names``, whatever their order.

    Raises:
        InputError: one is missing or there more than once.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{where}: no {listed(missing)}; it has {listed(names)}")
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise InputError(f"{where}: {listed(twice)} given more than once")
    return [names.index(name) for name in wanted]


def _imu_covariance(path: str) -> Callable[[Any], Any] | None:
    """An Imu says that it has no estimate of a part by a covariance that begins with -1."""
    part = path.split(".")[0]
    known = ("orientation", "angular_velocity", "linear_acceleration")
    return attrgetter(f"{part}_covariance") if part in known else None


def _full(name: str) -> str:
    """``geometry_msgs/Pose`` (as message definitions say it) → ``geometry_msgs/msg/Pose``."""
    package, *_, message = name.split("/")
    return f"{package}/msg/{message}"
