"""A small writer of ONNX graphs: nodes one after another, weights as initializers."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lram_core.quantise import BLOCK, quantise

MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators
OPSET = 24
IR_VERSION = 11
INT8_ZERO = 128  # MatMulNBits stores int8 as uint8 around this zero point
INT8_LARGEST = 127
# MatMulNBits: 4 multiplies integers, for which the inputs too are rounded to int8, in the same
# blocks. At 0 it expands the weights to float32 at every call, which takes longer.
INT8_PRODUCTS = 4

Array = npt.NDArray[Any]


class Graph:
    """Collects a graph; :meth:`model` closes it.

    Values are named after the scope they are made in, so that a profile of the running graph
    reads like the network. Shapes in comments are the run-time ones; ``T`` is the number of new
    tokens.

    Args:
        quantised: names of weights that :meth:`linear` stores as int8 blocks.
        fine: keep what int8 drops of the inputs of their products, for half as much time again.
    """

    def __init__(self, quantised: Sequence[str] = (), fine: bool = True) -> None:
        self._quantised = frozenset(quantised)
        self._fine = fine
        self._scope: list[str] = []
        self._numbers = itertools.count(1)
        self._constants: dict[tuple[Any, ...], str] = {}
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    @contextmanager
    def scope(self, name: object) -> Iterator[None]:
        """Name what is made inside after ``name``."""
        self._scope.append(str(name))
        yield
        self._scope.pop()

    def _name(self, kind: str) -> str:
        return "/".join([*self._scope, f"{kind}_{next(self._numbers)}"])

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> str:
        self.inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: Any, shape: Sequence[int | str]) -> None:
        """Give a value to the outside. It is renamed in the node that makes it: no copy."""
        for node in self.nodes:
            if value in node.output:
                node.output[list(node.output).index(value)] = name
            elif value in node.input:
                node.input[:] = [name if each == value else each for each in node.input]
        self.outputs.append(_value_info(name, dtype, shape))

    def constant(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        """An initializer; equal unnamed ones are stored once."""
        from onnx import numpy_helper

        array: Array = np.asarray(value, dtype, order="C")
        content = "" if name else hashlib.sha256(array.tobytes()).hexdigest()
        key = (name, array.dtype.str, array.shape, content)
        if key not in self._constants:
            self._constants[key] = name or f"constant_{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def ops(
        self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node; return the names of its outputs."""
        from onnx import helper

        name = self._name(kind)
        made = [name if outputs == 1 else f"{name}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, list(inputs), made, name=name, domain=domain, **attributes)
        )
        return made

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; return its name."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def linear(self, x: str, weight: Tensor, name: str, bias: Tensor | None = None) -> str:
        """``x @ weight.T + bias``; x (..., in), weight (out, in) of the name ``name``."""
        if name in self._quantised:
            y = self._linear_int8(x, weight, name)
        else:
            y = self.op("MatMul", x, self.constant(numpy(weight).T, name=name))
        return y if bias is None else self.op("Add", y, self.constant(numpy(bias)))

    def _linear_int8(self, x: str, weight: Tensor, name: str) -> str:
        values, scales = (np.asarray(part) for part in quantise(weight))
        out, width = values.shape
        spare = -width % BLOCK
        stored = (values.astype(np.int16) + INT8_ZERO).astype(np.uint8)
        stored = np.pad(stored, ((0, 0), (0, spare)), constant_values=INT8_ZERO)
        if spare:
            x = self.op("Pad", x, self.constant([0, 0, 0, 0, 0, spare], np.int64))
        y = self.op(
            "MatMulNBits",
            self._coarse_and_fine(x, width + spare) if self._fine else x,
            self.constant(stored.reshape(out, -1, BLOCK), np.uint8, name),
            self.constant(scales, name=f"{name}.scales"),
            domain=MICROSOFT,
            N=out,
            K=width + spare,
            bits=8,
            block_size=BLOCK,
            accuracy_level=INT8_PRODUCTS,
        )
        return self.op("Add", *self.split(y, 2, axis=1)) if self._fine else y

    def _coarse_and_fine(self, x: str, width: int) -> str:
        """Split x (1, T, width) into rows (1, 2 T, width) that add up to it.

        The first T are multiples of a 127th of their block's largest magnitude, which int8 holds
        exactly; what is left to the others is smaller by 254. One pass over the weights takes both.
        """
        parts = self.reshape(x, 0, 0, -1, BLOCK)
        largest = self.op("ReduceMax", self.op("Abs", parts), self.constant([3], np.int64))
        step = self.op("Mul", largest, self.constant(1 / INT8_LARGEST))
        step = self.op("Max", step, self.constant(np.finfo(np.float32).tiny))
        coarse = self.op("Mul", self.op("Round", self.op("Div", parts, step)), step)
        both = self.op("Concat", coarse, self.op("Sub", parts, coarse), axis=1)
        return self.reshape(both, 0, 0, width)

    def rms_norm(self, x: str, weight: Tensor, epsilon: float) -> str:
        return self.op("RMSNormalization", x, self.constant(numpy(weight)), epsilon=epsilon)

    def silu(self, x: str) -> str:
        return self.op("QuickGelu", x, domain=MICROSOFT, alpha=1.0)

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps the dimension, -1 takes the rest."""
        return self.op("Reshape", x, self.constant(shape, np.int64))

    def split(self, x: str, parts: int, axis: int = 2) -> list[str]:
        """Cut an axis into equal parts."""
        return self.ops("Split", x, outputs=parts, axis=axis, num_outputs=parts)

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        bounds = (self.constant([value], np.int64) for value in (start, end, axis))
        return self.op("Slice", x, *bounds)

    def scan(
        self,
        body: Callable[[Graph, list[str], str], tuple[list[str], str]],
        state: Sequence[str],
        tokens: str,
    ) -> tuple[list[str], str]:
        """Go through the rows of ``tokens`` (T, …) one after the other.

        Args:
            body: writes a step into the graph it is given: state and a row → new state and a row
                of the result. It may use values made outside. All float32.
            state: before the first row.
            tokens: the rows.

        Returns:
            The state after the last row, and the results (T, …).
        """
        from onnx import helper

        inner = copy.copy(self)
        inner.nodes = []
        names = [self._name("before") for _ in state]
        row = self._name("row")
        after, result = body(inner, names, row)
        graph = helper.make_graph(
            inner.nodes,
            "step",
            [_value_info(name, np.float32, None) for name in (*names, row)],
            [_value_info(name, np.float32, None) for name in (*after, result)],
        )
        *last, rows = self.ops(
            "Scan", *state, tokens, outputs=len(state) + 1, body=graph, num_scan_inputs=1
        )
        return last, rows

    def model(self, metadata: Mapping[str, str], producer: str, version: str) -> Any:
        """Return the graph as an ``onnx.ModelProto`` with ``metadata`` in its properties."""
        from onnx import helper

        graph = helper.make_graph(
            self.nodes, "tick", self.inputs, self.outputs, initializer=self.initializers
        )
        model = helper.make_model(
            graph,
            producer_name=producer,
            producer_version=version,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
        )
        helper.set_model_props(model, dict(metadata))
        return model


def numpy(tensor: Tensor) -> npt.NDArray[np.float32]:
    """A tensor's values as float32."""
    return tensor.detach().to("cpu", copy=False).float().numpy()


def _value_info(name: str, dtype: Any, shape: Sequence[int | str] | None) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
    )
