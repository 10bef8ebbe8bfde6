"""ONNX Runtime: the tick as one exported graph, its state written in place."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import make_config
from lram_core.backbones.xlstm import XLSTMConfig
from lram_core.bundle import check_link, weights_checksum
from lram_core.errors import BundleError, RuntimeUnavailable, listed
from lram_core.onnx_export.names import (
    FIRST_TICK,
    REWARD_ALONE,
    TICK,
    WRITERS,
    check_origin,
    describe,
    file_name,
    output_name,
    state_name,
)
from lram_core.runtimes.base import (
    FloatArray,
    IntArray,
    Runtime,
    RuntimeOptions,
    StateArrays,
    check_state,
)

logger = logging.getLogger(__name__)

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
OLDEST = (1, 31)
CUDA_HEAD = 128  # beyond, a head's memory is larger than what a multiprocessor shares
_ERRORS_ONLY = 3


class OnnxRuntime(Runtime):
    """A session of ONNX Runtime on the CPU or a GPU.

    It takes the bundle's exported file where there is one that fits, else exports in memory. The
    state lies in buffers of its own, each bound as an input and as the output that replaces it.

    Args:
        model: tells sizes and, where no file fits, is exported.
        options: see :class:`RuntimeOptions`.
        file: run this one, whatever it was exported from.
    """

    name: ClassVar[str] = "onnx"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")

    @classmethod
    def unavailable(cls, config: ModelConfig, options: RuntimeOptions) -> str | None:
        if config.backbone not in WRITERS:
            return f"no export of the backbone {config.backbone}; available: {listed(WRITERS)}"
        if importlib.util.find_spec("onnxruntime") is None:
            return "the Python module 'onnxruntime' is not installed (pip install onnxruntime)"
        import onnxruntime

        if _numbers(onnxruntime.__version__) < OLDEST:
            return (
                f"onnxruntime {onnxruntime.__version__} has not the operators; expected "
                f"{'.'.join(map(str, OLDEST))} or later (from Python 3.11 on)"
            )
        if options.device.type not in PROVIDERS:
            return f"no provider for device {options.device}; available: {listed(PROVIDERS)}"
        provider, found = PROVIDERS[options.device.type], onnxruntime.get_available_providers()
        if provider not in found:
            return f"{provider} is not in this onnxruntime; available: {listed(found)}"
        if options.device.type == "cuda" and _largest_head(config) > CUDA_HEAD:
            return (
                f"LinearAttention on CUDA takes heads of up to {CUDA_HEAD}, this model's have "
                f"{_largest_head(config)}"
            )
        if importlib.util.find_spec("onnx") is None:
            precision = options.precision or cls.precisions[0]
            if _exported(options, precision) is None:
                return (
                    f"no exported {file_name(precision)} in the bundle, and the Python module "
                    "'onnx' that could make it is not installed (pip install onnx)"
                )
        return None

    def __init__(
        self,
        model: ActionModel,
        options: RuntimeOptions | None = None,
        file: Path | None = None,
    ) -> None:
        options = options or RuntimeOptions()
        self.precision = self.choose_precision(options)
        self._provider = PROVIDERS[options.device.type]
        self._device = (options.device.type, options.device.index or 0)
        if file:
            self._session, self._source = _session(file, self._provider, options), file.name
            _check_form(self._session, model, str(file))
        else:
            self._session, self._source = _open(model, self.precision, self._provider, options)

        config = model.config
        self._inputs: dict[str, npt.NDArray[Any]] = {
            "observation": np.zeros((1, config.observation_size), np.float32),
            "return_to_go": np.zeros(1, np.float32),
            "reward": np.zeros(1, np.float32),
        }
        self.logits = np.zeros((config.action_size, config.bins), np.float32)
        self._bins = np.zeros(config.action_size, np.int64)
        self._initial = {name: value.cpu().numpy() for name, value in model.init_state(1).items()}
        self._bind()

    def describe(self) -> str:
        return f"onnx ({self.precision}, {self._provider}, {self._source})"

    def _bind(self) -> None:
        """Bind every input and output once, for each kind of tick.

        On the CPU an OrtValue is a view of its array: what is written to the array is read by the
        next run, and nothing is copied. On a GPU inputs are copied in before a run.
        """
        self._values = {name: self._value(array) for name, array in self._inputs.items()}
        self._state_arrays = {name: value.copy() for name, value in self._initial.items()}
        self._state_values = {name: self._value(a) for name, a in self._state_arrays.items()}
        self._bindings = {}
        # A binding does not keep alive what is bound to it.
        self._orders = {
            tokens: self._value(np.array(tokens, np.int64))
            for tokens in (TICK, FIRST_TICK, REWARD_ALONE)
        }
        self._results = {"logits": _on_cpu(self.logits), "bins": _on_cpu(self._bins)}
        for tokens, order in self._orders.items():
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("tokens", order)
            for name, value in self._values.items():
                binding.bind_ortvalue_input(name, value)
            for name, value in self._results.items():
                binding.bind_ortvalue_output(name, value)
            for name, value in self._state_values.items():
                binding.bind_ortvalue_input(state_name(name), value)
                binding.bind_ortvalue_output(output_name(name), value)
            self._bindings[tokens] = binding
        self._next = self._bindings[FIRST_TICK]

    def _value(self, array: npt.NDArray[Any]) -> Any:
        import onnxruntime

        if self._device[0] == "cpu":
            return _on_cpu(array)
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, *self._device)

    def _give(self, name: str, value: float | FloatArray) -> None:
        self._inputs[name][...] = value
        if self._device[0] != "cpu":
            self._values[name].update_inplace(self._inputs[name])

    def reset(self) -> None:
        self.load_state(self._initial)

    def tokenise(self, observation: FloatArray, return_to_go: float, reward: float | None) -> None:
        self._give("observation", observation)
        self._give("return_to_go", return_to_go)
        if reward is not None:
            self._give("reward", reward)
        self._next = self._bindings[FIRST_TICK if reward is None else TICK]

    def step(self) -> IntArray:
        self._session.run_with_iobinding(self._next)
        return self._bins

    def advance_reward(self, reward: float) -> None:
        self._give("reward", reward)
        self._session.run_with_iobinding(self._bindings[REWARD_ALONE])

    def state(self) -> StateArrays:
        return {name: value.numpy().copy() for name, value in self._state_values.items()}

    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        found = check_state(state, self._initial)
        for name, array in self._state_arrays.items():
            np.copyto(array, found[name])
            if self._device[0] != "cpu":
                self._state_values[name].update_inplace(array)


def _largest_head(config: ModelConfig) -> int:
    """Size of an mLSTM head; 0 for a model without."""
    shape = make_config(config.backbone, config.backbone_options)
    return shape.head_size if isinstance(shape, XLSTMConfig) else 0


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _on_cpu(array: npt.NDArray[Any]) -> Any:
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _exported(options: RuntimeOptions, precision: str) -> Path | None:
    """Return the bundle's exported file; None if there is none."""
    if options.bundle is None:
        return None
    names = (file_name(precision, options.embodiment), file_name(precision))
    return next((options.bundle / n for n in names if (options.bundle / n).is_file()), None)


def _open(
    model: ActionModel, precision: str, provider: str, options: RuntimeOptions
) -> tuple[Any, str]:
    """Open the bundle's exported file if there is one that fits, else the model, exported now.

    Returns:
        The session, and where it is from.
    """
    path = _exported(options, precision)
    if path:
        try:
            check_link(path)
            session = _session(path, provider, options)
            checksum = weights_checksum(path.parent)
            check_origin(path, metadata(session), precision, checksum, options.embodiment)
            _check_form(session, model, str(path))
            return session, path.name
        except BundleError as error:
            if importlib.util.find_spec("onnx") is None:
                raise RuntimeUnavailable(f"runtime onnx: {error}") from None
            logger.warning("%s; it is not used", error)
    from lram_core.onnx_export.tick import build

    made = build(model, precision, describe(model, precision, "")).SerializeToString()
    return _session(made, provider, options), "exported in memory"


def metadata(session: Any) -> dict[str, str]:
    """Return what an exported file says about itself."""
    return dict(session.get_modelmeta().custom_metadata_map)


def _session(source: Path | bytes, provider: str, options: RuntimeOptions) -> Any:
    """Open a session on ``provider`` and no other.

    Raises:
        BundleError: the file is corrupt, or of a later ONNX Runtime.
        RuntimeUnavailable: ONNX Runtime would run on another provider, which it does in silence
            when the libraries of the one asked for are missing.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = _ERRORS_ONLY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            session = onnxruntime.InferenceSession(source, settings, providers=[provider])
        except Exception as error:  # its errors have no base class of their own
            where = source if isinstance(source, Path) else "the exported model"
            raise BundleError(f"{where}: ONNX Runtime cannot read it ({error})") from None
    found = session.get_providers()
    if found[0] != provider:
        raise RuntimeUnavailable(
            f"runtime onnx: runs on {found[0]}, expected {provider}; "
            f"this onnxruntime has: {listed(onnxruntime.get_available_providers())}"
        )
    return session


def _check_form(session: Any, model: ActionModel, where: str) -> None:
    """Raises BundleError naming the inputs and outputs that are not those of the model."""
    config = model.config
    inputs = {
        "observation": f"tensor(float) {[1, config.observation_size]}",
        "return_to_go": "tensor(float) [1]",
        "reward": "tensor(float) [1]",
        "tokens": "tensor(int64) ['T']",
    }
    outputs = {
        "logits": f"tensor(float) {[config.action_size, config.bins]}",
        "bins": f"tensor(int64) {[config.action_size]}",
    }
    for name, value in model.init_state(1).items():
        kind = "float" if value.is_floating_point() else "int64"
        form = f"tensor({kind}) {list(value.shape)}"
        inputs[state_name(name)] = outputs[output_name(name)] = form
    expected = inputs | outputs
    found = {
        each.name: f"{each.type} {each.shape}"
        for each in (*session.get_inputs(), *session.get_outputs())
    }
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {form}"
        for name, form in expected.items()
        if found.get(name) != form
    ]
    wrong += [f"{name} is unknown" for name in found if name not in expected]
    if wrong:
        raise BundleError(f"{where}: does not fit the model: {listed(wrong, 4)}")
