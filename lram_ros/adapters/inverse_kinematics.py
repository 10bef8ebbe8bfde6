"""Moves of a tool as joint targets: differential inverse kinematics with mink (extra ``ik``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import ContractError, LramError, RuntimeUnavailable, listed, one_line
from lram_ros.adapters.sink import CommandSink
from lram_ros.units import TABLE, conversion, parse_unit

Array = npt.NDArray[np.float64]

_STEPS = 4  # of a tick at most: each solves a quadratic programme about the pose reached so far
_SOLVER = "daqp"
_CLOSE = 1e-5  # m and rad
_DAMPING = 1e-6  # keeps the programme solvable where the arm is singular
# Of the posture, in m/rad against 1 of the position: too little to be seen at the tool.
_POSTURE_COST = 1e-3
_POSTURE_GAIN = 0.25  # of the way back to it, in a programme


class IkError(LramError):
    """No joint motion within the limits follows the tool's move."""


class InverseKinematics:
    """A robot model that answers: which joints move the tool by this much?

    The joints of the sink move, all others of the model stay as the model has them. Position
    limits are the narrower of the model's and the contract's; speeds stay within the contract's
    ``max_velocity``. Where a limit stands in the way, the tool moves less than asked.
    """

    def __init__(self, sink: CommandSink, period: float) -> None:
        """Load the model.

        Raises:
            RuntimeUnavailable: mink or MuJoCo is not installed, or cannot be imported.
            ContractError: the model cannot be read, or lacks the frame or a joint.
        """
        assert sink.cartesian is not None
        try:
            import mink
            import mujoco
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(
                f"{sink.topic}: Cartesian moves need the Python module '{error.name}': "
                f"pip install 'lram_ros[ik]'"
            ) from None
        except Exception as error:  # a missing OpenGL library shows itself in many ways
            raise RuntimeUnavailable(
                f"{sink.topic}: Cartesian moves need MuJoCo, which cannot be imported ({error}); "
                "nothing is drawn here, so MUJOCO_GL=disable does"
            ) from None
        self._mink = mink
        # The mink that robosuite pins (0.0.5) has no error of its own for this: it asserts.
        self._no_solution = getattr(mink, "NoSolutionFound", AssertionError)
        self._sink = sink
        self._options = sink.cartesian
        self._step = period / _STEPS
        path = self._options.model
        if not path.is_file():
            raise ContractError(f"{sink.topic}: model {path} does not exist")
        try:
            self._model = mujoco.MjModel.from_xml_path(str(path))
        except ValueError as error:
            reason = one_line(error)
            raise ContractError(f"{sink.topic}: model {path} cannot be read: {reason}") from None
        self._check_frame(mujoco)
        self._addresses = np.array([self._joint(mujoco, field.wire_name) for field in sink.fields])
        self._to_si = np.array(
            [
                conversion(field.unit, next(iter(TABLE[parse_unit(field.unit).dimension])))
                for field in sink.fields
            ]
        )
        self._limit()
        self._configuration = mink.Configuration(self._model)
        self._task = mink.FrameTask(
            self._options.frame,
            self._options.frame_type,
            position_cost=1.0,
            orientation_cost=self._options.orientation_cost,
        )
        self._tasks = [self._task, *self._posture()]
        self._limits = [
            mink.ConfigurationLimit(self._model),
            mink.VelocityLimit(self._model, self._speeds(mujoco)),
        ]

    def __call__(self, joints: Array, delta: Array) -> Array:
        """Return the joint targets that move the tool by ``delta``.

        Args:
            joints: (fields,) where the move starts, in the units of the sink's fields.
            delta: (6,) translation in m and rotation vector in rad, along the contract's axes.

        Raises:
            IkError: a value is not finite, or there is no solution.
        """
        if not (np.isfinite(joints).all() and np.isfinite(delta).all()):
            raise IkError(
                f"{self._sink.topic}: not finite: move {delta.tolist()} from {joints.tolist()}"
            )
        configuration = self._configuration
        q = self._model.qpos0.copy()
        low, high = self._model.jnt_range[self._joint_ids].T
        q[self._addresses] = np.clip(joints * self._to_si, low, high)
        configuration.update(q)
        self._task.set_target(self._target(delta))
        for _ in range(_STEPS):
            if np.abs(self._task.compute_error(configuration)).max() < _CLOSE:
                break
            try:
                velocity = self._mink.solve_ik(
                    configuration,
                    self._tasks,
                    self._step,
                    _SOLVER,
                    damping=_DAMPING,
                    limits=self._limits,
                )
            except self._no_solution:
                raise IkError(
                    f"{self._sink.topic}: no motion within the limits moves "
                    f"{self._options.frame} by {delta.tolist()} from {joints.tolist()}"
                ) from None
            configuration.integrate_inplace(velocity, self._step)
        return np.array(configuration.q[self._addresses] / self._to_si)

    def pose(self, joints: Array) -> tuple[Array, Array]:
        """Return position (3,) in m and rotation matrix (3, 3) of the frame in the base."""
        q = self._model.qpos0.copy()
        q[self._addresses] = joints * self._to_si
        self._configuration.update(q)
        found = self._transform()
        return found.translation(), found.rotation().as_matrix()

    def _posture(self) -> list[Any]:
        """The task that draws a spare joint back, where the contract names a posture."""
        if self._options.posture is None:
            return []
        cost = np.zeros(self._model.nv)
        cost[self._model.jnt_dofadr[self._joint_ids]] = _POSTURE_COST
        task = self._mink.PostureTask(self._model, cost=cost, gain=_POSTURE_GAIN)
        q = self._model.qpos0.copy()
        q[self._addresses] = np.array(self._options.posture) * self._to_si
        task.set_target(q)
        return [task]

    def _transform(self) -> Any:
        return self._configuration.get_transform_frame_to_world(
            self._options.frame, self._options.frame_type
        )

    def _target(self, delta: Array) -> Any:
        now = self._transform()
        rotation = self._mink.SO3.exp(delta[3:])
        se3 = self._mink.SE3.from_rotation_and_translation
        if self._options.axes == "tool":
            return now.multiply(se3(rotation, delta[:3]))
        # About the tool's own point, not about the base's: only the directions are the base's.
        return se3(rotation.multiply(now.rotation()), now.translation() + delta[:3])

    def _check_frame(self, mujoco: Any) -> None:
        kind = getattr(mujoco.mjtObj, f"mjOBJ_{self._options.frame_type.upper()}")
        if mujoco.mj_name2id(self._model, kind, self._options.frame) < 0:
            count = getattr(self._model, f"n{self._options.frame_type}")
            names = [mujoco.mj_id2name(self._model, kind, i) for i in range(count)]
            raise ContractError(
                f"{self._sink.topic}: {self._options.model} has no {self._options.frame_type} "
                f"'{self._options.frame}'; it has {listed(filter(None, names))}"
            )

    def _joint(self, mujoco: Any, name: str) -> int:
        """Address of a joint's one position in the model."""
        model = self._model
        joint = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
        simple = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        if joint < 0 or model.jnt_type[joint] not in simple:
            names = [
                mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, i)
                for i in range(model.njnt)
                if model.jnt_type[i] in simple
            ]
            raise ContractError(
                f"{self._sink.topic}: {self._options.model} has no joint '{name}'; "
                f"it has {listed(names)}"
            )
        return int(model.jnt_qposadr[joint])

    def _limit(self) -> None:
        """Narrow the model's joint limits to the contract's."""
        model = self._model
        self._joint_ids = [model.joint(field.wire_name).id for field in self._sink.fields]
        rows = zip(self._joint_ids, self._sink.fields, self._to_si, strict=True)
        for joint, field, gain in rows:
            low, high = field.low * gain, field.high * gain
            if model.jnt_limited[joint]:
                low, high = (
                    max(low, model.jnt_range[joint, 0]),
                    min(high, model.jnt_range[joint, 1]),
                )
            if not low < high:
                raise ContractError(
                    f"{self._sink.topic}: {field.wire_name}: limits {field.low:g} … {field.high:g} "
                    f"do not overlap those of {self._options.model}"
                )
            model.jnt_limited[joint] = 1
            model.jnt_range[joint] = low, high

    def _speeds(self, mujoco: Any) -> dict[str, Array]:
        """Largest speed of each joint of the model in SI units; 0 for those not of the sink."""
        model = self._model
        ours = {
            field.wire_name: field.max_velocity * gain
            for field, gain in zip(self._sink.fields, self._to_si, strict=True)
        }
        speeds = {}
        for joint in range(model.njnt):
            if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
                continue
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint)
            if not name:
                raise ContractError(
                    f"{self._sink.topic}: {self._options.model}: joint {joint} has no name"
                )
            width = 3 if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL else 1
            speed = ours.get(name, 0.0)
            if np.isfinite(speed):
                speeds[name] = np.full(width, speed)
        return speeds
