"""robosuite's two arm controllers, stepped several times faster with the same trajectories.

robosuite runs its controller before each of 25 physics steps a control tick, through layers of
Python that look everything up by name and measure much that no torque needs. Here the controller's
own gains, goals and limits feed one function a physics step. Tests compare the trajectories with
robosuite's.
"""

from __future__ import annotations

from typing import Any, Protocol

import mujoco
import numba
import numpy as np
import numpy.typing as npt

from lram_sim.rotations import rotation
from lram_sim.stability import Stability

Array = npt.NDArray[np.float64]


class Law(Protocol):
    """How an arm follows its action."""

    def aim(self, action: Array) -> None:
        """Set the goal of a control tick, from where the arm is now."""
        ...

    def torques(self) -> Array:
        """Return the joint torques (N m) of this physics step, not yet clipped."""
        ...


class _Arm:
    """What both laws read: the arm's part of the simulation."""

    def __init__(self, env: Any) -> None:
        robot = env.robots[0]
        self.model, self.data = env.sim.model._model, env.sim.data._data
        controller = robot.part_controllers["right"]
        self.controller = controller
        first, last = controller.qvel_index[0], controller.qvel_index[-1]
        self.dofs = slice(int(first), int(last) + 1)
        self.positions = slice(int(controller.qpos_index[0]), int(controller.qpos_index[-1]) + 1)
        self.inertia = np.zeros((self.model.nv, self.model.nv))
        # Views: a look at an attribute of MjData makes an array each time.
        self.q, self.qd = self.data.qpos[self.positions], self.data.qvel[self.dofs]
        self.bias, self.mass = self.data.qfrc_bias[self.dofs], self.inertia[self.dofs, self.dofs]
        self._sparse = self.data.qM
        self.step = np.array(controller.output_max, dtype=np.float64)
        self.kp, self.kd = np.array(controller.kp), np.array(controller.kd)

    def update(self) -> None:
        mujoco.mj_fullM(self.model, self.inertia, self._sparse)


class JointLaw:
    """JOINT_POSITION in delta mode: a spring and damper to the joints' goal, gravity carried."""

    def __init__(self, env: Any) -> None:
        self._arm = _Arm(env)
        self._goal = np.zeros(0)

    def aim(self, action: Array) -> None:
        self._goal = self._arm.q + action * self._arm.step

    def torques(self) -> Array:
        arm = self._arm
        arm.update()
        wanted = (self._goal - arm.q) * arm.kp - arm.qd * arm.kd
        torques: Array = arm.mass @ wanted + arm.bias
        return torques


class PoseLaw:
    """OSC_POSE in delta mode: a spring and damper to the hand's goal, position and turn apart."""

    def __init__(self, env: Any) -> None:
        self._arm = arm = _Arm(env)
        robot = env.robots[0]
        self._site = int(robot.eef_site_id["right"])
        self._base = arm.model.site("robot0_right_center").id
        self._jacp, self._jacr = np.zeros((3, arm.model.nv)), np.zeros((3, arm.model.nv))
        self._goal, self._turn = np.zeros(3), np.eye(3)
        self._home = np.zeros(0)
        self._place = arm.data.site_xpos[self._site]
        self._facing = arm.data.site_xmat[self._site].reshape(3, 3)

    def start(self) -> None:
        """Keep the posture of an episode's start: the arm's spare joint is drawn to it."""
        self._home = self._arm.q.copy()

    def aim(self, action: Array) -> None:
        data, delta = self._arm.data, action * self._arm.step
        base = data.site_xmat[self._base].reshape(3, 3)
        self._goal = self._place + base @ delta[:3]
        turn = base @ rotation(delta[3:]) @ base.T
        self._turn = np.ascontiguousarray(turn @ self._facing)

    def torques(self) -> Array:
        arm = self._arm
        arm.update()
        mujoco.mj_jacSite(arm.model, arm.data, self._jacp, self._jacr, self._site)
        torques: Array = _pose_torques(
            arm.inertia,
            self._jacp,
            self._jacr,
            arm.dofs.start,
            self._place,
            self._facing,
            self._goal,
            self._turn,
            arm.q,
            arm.qd,
            self._home,
            arm.kp,
            arm.kd,
        )
        return torques + arm.bias


@numba.njit(cache=True)
def _pose_torques(
    inertia: Array,
    jacp: Array,
    jacr: Array,
    first: int,
    position: Array,
    turn: Array,
    goal: Array,
    goal_turn: Array,
    q: Array,
    qd: Array,
    home: Array,
    kp: Array,
    kd: Array,
) -> Array:  # pragma: no cover  (compiled)
    """Khatib's operational space law (1987), position and orientation decoupled; (n,) torques."""
    n = q.shape[0]
    mass = np.ascontiguousarray(inertia[first : first + n, first : first + n])
    jp = np.ascontiguousarray(jacp[:, first : first + n])
    jr = np.ascontiguousarray(jacr[:, first : first + n])
    jac = np.vstack((jp, jr))
    velocity = jac @ np.ascontiguousarray(qd)
    wrench = np.empty(6)
    for i in range(3):
        wrench[i] = kp[i] * (goal[i] - position[i]) - kd[i] * velocity[i]
    error = np.zeros(3)
    for i in range(3):  # half the sum of the axes' cross products
        error[0] += 0.5 * (turn[1, i] * goal_turn[2, i] - turn[2, i] * goal_turn[1, i])
        error[1] += 0.5 * (turn[2, i] * goal_turn[0, i] - turn[0, i] * goal_turn[2, i])
        error[2] += 0.5 * (turn[0, i] * goal_turn[1, i] - turn[1, i] * goal_turn[0, i])
    for i in range(3):
        wrench[3 + i] = kp[3 + i] * error[i] - kd[3 + i] * velocity[3 + i]
    inverse = np.linalg.inv(mass)
    force = np.linalg.pinv(jp @ inverse @ jp.T) @ wrench[:3]
    moment = np.linalg.pinv(jr @ inverse @ jr.T) @ wrench[3:]
    torques = jp.T @ force + jr.T @ moment
    # What is left of the joints' freedom draws them to the posture of the start.
    full = np.linalg.pinv(jac @ inverse @ jac.T)
    spare = np.eye(n) - inverse @ jac.T @ full @ jac
    stiffness = 10.0
    pose = mass @ (stiffness * (home - q) - 2.0 * np.sqrt(stiffness) * qd)
    return torques + spare.T @ pose


class Stepper:
    """Advances an environment by control ticks."""

    def __init__(self, env: Any, controller: str) -> None:
        self.model, self.data = env.sim.model._model, env.sim.data._data
        self._stability = Stability(self.data)
        self._law: Law = JointLaw(env) if controller == "joint" else PoseLaw(env)
        robot = env.robots[0]
        self._gripper = robot.gripper["right"]
        arm_motors = np.array(robot._ref_actuators_indexes_dict["right"])
        self._arm_controls = self.data.ctrl[arm_motors[0] : arm_motors[-1] + 1]
        fingers = robot._ref_joint_gripper_actuator_indexes["right"]
        self._grip_motors = np.array(fingers, dtype=np.intp)
        limits = self.model.actuator_ctrlrange
        self._low, self._high = np.ascontiguousarray(limits[arm_motors].T)
        grip = limits[self._grip_motors]
        self._middle, self._half = grip.mean(axis=1), np.diff(grip, axis=1)[:, 0] / 2
        self._substeps = int(env.control_timestep / env.model_timestep)

    def start(self) -> None:
        """Begin an episode; the simulation has just been reset."""
        if isinstance(self._law, PoseLaw):
            self._law.start()

    def step(self, action: Array) -> str:
        """Advance one control tick; positions of bodies and sites are up to date afterwards.

        Args:
            action: arm, then gripper where it moves, within [-1, 1].

        Returns:
            What broke the simulation, in one line; empty while it is sound.
        """
        model, data, law = self.model, self.data, self._law
        count = len(self._arm_controls) if isinstance(law, JointLaw) else 6
        grip = np.asarray(self._gripper.format_action(action[count:]), dtype=np.float64)
        for index in range(self._substeps):
            mujoco.mj_step1(model, data)
            if index == 0:
                law.aim(action[:count])
                data.ctrl[self._grip_motors] = self._middle + self._half * grip
            # In place, and without numpy.clip, which takes as long as the law itself.
            np.maximum(law.torques(), self._low, out=self._arm_controls)
            np.minimum(self._arm_controls, self._high, out=self._arm_controls)
            mujoco.mj_step2(model, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        return self._stability.failure()
