"""The settings of a run as a YAML file, with overrides; checked against the types of the fields.

The keys of the file are the fields of :class:`RunSettings`. Types and ranges are declared once, in
:mod:`lram_core.training.config`; pydantic checks them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from lram_core.backbones import make_config, size_options
from lram_core.bundle import load_joint_bundle
from lram_core.errors import CommandError, listed
from lram_core.training.config import TrainConfig
from lram_core.yaml_text import yaml_text

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
            replace or join those of the size.
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
        data = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise CommandError(f"{file}: no such file of settings") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data or {}, Mapping):
        raise CommandError(
            f"{file}: expected a mapping of settings, found {type(data).__name__}; "
            f"keys: {listed(KEYS)}"
        )
    return dict(data or {})


def read_overrides(words: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` words; ``key.part=value`` is one entry of a mapping.

    Values are YAML (numbers, true, lists, mappings); those of texts are taken as they are.

    Raises:
        CommandError: a word is none of that.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        name, _, part = key.partition(".")
        if not equals or not name:
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
    """Check plain data and build the settings.

    The shape of the network is resolved: ``size`` becomes ``backbone_options``, and what is not
    said is taken from the bundle to start from, or the default.

    Args:
        data: keys and values as they are in a file.
        where: where they are from, for messages.

    Raises:
        CommandError: unknown keys, with the nearest there are, or values of a wrong type.
        BundleError: unknown backbone, size or option, or ``init`` is no bundle.
    """
    unknown = [str(key) for key in data if key not in KEYS]
    if unknown:
        told = [f"'{key}'{_nearest(key)}" for key in unknown]
        raise CommandError(f"{where}: unknown key {listed(told)}; keys: {listed(KEYS)}")
    try:
        settings = TypeAdapter(RunSettings).validate_python(dict(data))
    except ValidationError as error:
        raise CommandError(f"{where}: {listed(_problems(error))}") from None
    return _shaped(settings, "backbone" in data)


def to_yaml(settings: TrainConfig) -> str:
    """Return settings as the text of a file that :func:`read_settings` reads."""
    # The size is in the options already; the other keys are kept even where they are empty.
    plain = {key: value for key, value in asdict(settings).items() if key != "size"}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
    return yaml_text(plain)


def _shaped(settings: RunSettings, backbone_given: bool) -> RunSettings:
    """Fill in backbone and options: as asked for, else those of the bundle to start from."""
    options = settings.backbone_options
    if settings.init and not (backbone_given or settings.size or options):
        shape = load_joint_bundle(settings.init)[0].first.config
        return replace(settings, backbone=shape.backbone, backbone_options=shape.backbone_options)
    if settings.size or not options:
        options = size_options(settings.backbone, settings.size or DEFAULT_SIZE, **options)
    make_config(settings.backbone, options)
    return replace(settings, backbone_options=options, size="")


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key.replace("-", "_"), KEYS, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _problems(error: ValidationError) -> list[str]:
    problems = []
    for each in error.errors():
        key = ".".join(str(part) for part in each["loc"])
        expected = each["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        expected = expected.partition(", unable to ")[0].replace("Field required", "a value here")
        found = each["input"]
        problems.append(f"{key}: expected {expected}, found {found!r} ({type(found).__name__})")
    return problems
