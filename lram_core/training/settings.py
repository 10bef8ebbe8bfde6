"""The settings of a run as a YAML file, with overrides; checked against the types of the fields.

The keys of the file are the fields of :class:`RunSettings`. Types and ranges are declared once, in
:mod:`lram_core.training.config`; pydantic checks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from lram_core.backbones import BACKBONES, is_whole_shape, make_config, size_options
from lram_core.bundle import load_joint_bundle
from lram_core.errors import CommandError, listed, nearest, one_line
from lram_core.training.config import TrainConfig
from lram_core.yaml_text import read_yaml, yaml_text

DEFAULT_SIZE = "d256"

Paths = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]


@dataclass(frozen=True)
class RunSettings(TrainConfig):
    """Everything that ``lram train`` is told.

    Attributes:
        data: dataset folders; of several suites, one model for all of them.
        out: bundle to write.
        run: run folder; empty for ``runs/train/<bundle's name>``.
        size: name of a size, see :func:`lram_core.backbones.size_options`; ``backbone_options``
            replace or join those of the size, of the default one where they are no whole shape.
    """

    data: Paths = ()
    out: str = ""
    run: str = ""
    size: str = ""

    @property
    def config(self) -> TrainConfig:
        """The settings of the training itself."""
        return TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})

    @property
    def run_folder(self) -> Path:
        return Path(self.run) if self.run else Path("runs/train") / Path(self.out).name


DEFAULTS = RunSettings()
KEYS = tuple(field.name for field in fields(RunSettings))


def read_settings(file: Path) -> dict[str, Any]:
    """Read a YAML file of settings; :func:`make_settings` checks them.

    Raises:
        CommandError: there is no such file, or it is not a mapping in YAML.
    """
    try:
        data = read_yaml(file.read_text())
    except FileNotFoundError:
        raise CommandError(f"{file}: no such file of settings") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: not valid YAML ({one_line(error)})") from None
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise CommandError(
            f"{file}: expected a mapping of settings, found {type(data).__name__}; "
            f"keys: {listed(KEYS)}"
        )
    return dict(data)


def read_overrides(words: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` words; ``key.part=value`` is one entry of a mapping.

    Values are YAML (numbers, true, lists, mappings); those of texts are taken as they are.

    Raises:
        CommandError: a word is none of that.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        name, dot, part = key.partition(".")
        if not (equals and name) or bool(dot) != bool(part):
            raise CommandError(f"expected key=value, found '{word}'; keys: {listed(KEYS)}")
        value: Any = text
        if part or not isinstance(getattr(DEFAULTS, name, None), str):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                raise CommandError(f"{key}: the value is no YAML: '{text}'") from None
        if part:
            inner = found.setdefault(name, {})
            if not isinstance(inner, dict):
                raise CommandError(f"{key}: {name} was given as a whole already: {inner!r}")
            inner[part] = value
        else:
            found[name] = value
    return found


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Join layers of settings, later ones first in rank; mappings are joined entry by entry."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                value = {**merged[key], **value}
            merged[key] = value
    return merged


def make_settings(data: Mapping[str, Any], where: str = "settings") -> RunSettings:
    """Check plain data and build the settings; :func:`join_settings` with one place alone."""
    return join_settings([(where, data)])


def join_settings(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> RunSettings:
    """Check plain data from several places and build the settings.

    A size replaces the ``backbone_options`` of earlier places where these are a whole shape, not
    changes to a size. The shape of the network is resolved: ``size`` becomes
    ``backbone_options``, and what is not said is taken from the bundle to start from, or the
    default.

    Args:
        layers: where they are from, for messages, with keys and values as they are in a file;
            later ones beat earlier ones.

    Raises:
        CommandError: unknown keys, with the nearest there are, or values of a wrong type.
        BundleError: unknown backbone, size or option, or ``init`` is no bundle.
    """
    data: dict[str, Any] = {}
    places: dict[str, str] = {}
    for where, layer in layers:
        unknown = [str(key) for key in layer if key not in KEYS]
        if unknown:
            told = [f"'{key}'{nearest(key, KEYS)}" for key in unknown]
            raise CommandError(f"{where}: unknown key {listed(told)}; keys: {listed(KEYS)}")
        if layer.get("size") and not data.get("size") and _has_whole_shape(data):
            del data["backbone_options"]
        data = merge([data, layer])
        places |= dict.fromkeys(layer, where)
    try:
        settings = TypeAdapter(RunSettings).validate_python(data)
    except ValidationError as error:
        told = [
            f"{places[key.partition('.')[0]]}: {text}" for key, text in _problems(error).items()
        ]
        raise CommandError(listed(told)) from None
    return _shaped(settings, "backbone" in data)


def to_yaml(settings: TrainConfig) -> str:
    """Return settings as the text of a file that :func:`read_settings` reads."""
    # The size is in the options already; the other keys are kept even where they are empty.
    plain = {key: value for key, value in asdict(settings).items() if key != "size"}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
    return yaml_text(plain)


def _has_whole_shape(data: Mapping[str, Any]) -> bool:
    backbone, options = data.get("backbone", DEFAULTS.backbone), data.get("backbone_options")
    if backbone not in list(BACKBONES) or not isinstance(options, Mapping):
        return False  # told when all is checked
    return is_whole_shape(backbone, options)


def _shaped(settings: RunSettings, backbone_given: bool) -> RunSettings:
    """Fill in backbone and options: as asked for, else those of the bundle to start from."""
    options = settings.backbone_options
    if settings.init and not (backbone_given or settings.size or options):
        shape = load_joint_bundle(settings.init)[0].first.config
        return replace(settings, backbone=shape.backbone, backbone_options=shape.backbone_options)
    if settings.size or not is_whole_shape(settings.backbone, options):
        options = size_options(settings.backbone, settings.size or DEFAULT_SIZE, **options)
    make_config(settings.backbone, options)
    return replace(settings, backbone_options=options, size="")


def _problems(error: ValidationError) -> dict[str, str]:
    """Return key → what is wrong with its value."""
    wanted: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for each in error.errors():
        place, expected = list(each["loc"]), each["msg"]
        if len(place) > 1 and isinstance(place[-1], str):
            place = place[:-1]  # of a setting of several kinds, each kind tells
        key = ".".join(str(part) for part in place)
        for whole, short in _PLAINER:
            expected = expected.replace(whole, short)
        wanted.setdefault(key, []).append(expected.partition(", unable to ")[0])
        found[key] = each["input"]
    return {
        key: f"{key}: expected {' or '.join(texts)}, found {found[key]!r} "
        f"({type(found[key]).__name__})"
        for key, texts in wanted.items()
    }


_PLAINER = (
    ("Value error, ", ""),
    ("Input should be ", ""),
    ("Field required", "a value here"),
    ("Tuple should have ", ""),
    (" after validation, not", ", not"),
    ("a valid tuple", "a list"),
    ("a valid dictionary", "a mapping"),
)
"""Words of pydantic's messages, and those of the trade."""
