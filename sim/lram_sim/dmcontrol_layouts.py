"""DMControl as data: robots with their fields, the union layout, the paper's splits and returns.

Names and sizes are those of ``dm_control.suite``; tests compare them with the compiled models.
"""

from __future__ import annotations

from dataclasses import dataclass

from lram_core.contract import ActionField, ObservationField

MAX_EPISODE_STEPS = 1000
"""Every task of the suite ends after 1000 control ticks, and gives at most 1 a tick."""
UNION_ACTIONS = 6
"""Largest number of actuators among the paper's tasks."""


@dataclass(frozen=True)
class Embodiment:
    """One robot of DMControl and the tasks on it.

    Attributes:
        domain: name of the domain in ``dm_control.suite``.
        tasks: the paper's tasks on it.
        control_rate: control ticks a second (Hz).
        observation: fields by observation key, those of all its tasks; a task that lacks a key
            leaves zeros in its place.
        action: one field an actuator, in order.
        camera: the camera that shows the scene best.
    """

    domain: str
    tasks: tuple[str, ...]
    control_rate: float
    observation: tuple[ObservationField, ...]
    action: tuple[ActionField, ...]
    camera: str


def _observation(*fields: tuple[str, int, str]) -> tuple[ObservationField, ...]:
    return tuple(ObservationField(name, size, unit) for name, size, unit in fields)


def _efforts(unit: str, **gears: float) -> tuple[ActionField, ...]:
    """Motors: an action of 1 is the gear's force or torque."""
    return tuple(
        ActionField(name, f"{gear:g} {unit}", "joint_effort", -1.0, 1.0)
        for name, gear in gears.items()
    )


# A unit with a comma: the key joins values of different dimensions, in this order.
_EMBODIMENTS = (
    Embodiment(
        "walker",
        ("stand", "walk", "run"),
        40.0,
        _observation(("orientations", 14, "1"), ("height", 1, "m"), ("velocity", 9, "m/s, rad/s")),
        _efforts(
            "N m",
            right_hip=100,
            right_knee=50,
            right_ankle=20,
            left_hip=100,
            left_knee=50,
            left_ankle=20,
        ),
        "side",
    ),
    Embodiment(
        "cheetah",
        ("run",),
        100.0,
        _observation(("position", 8, "m, rad"), ("velocity", 9, "m/s, rad/s")),
        _efforts("N m", bthigh=120, bshin=90, bfoot=60, fthigh=90, fshin=60, ffoot=30),
        "side",
    ),
    Embodiment(
        "cartpole",
        ("swingup", "balance"),
        100.0,
        _observation(("position", 3, "m, 1"), ("velocity", 2, "m/s, rad/s")),
        _efforts("N", slide=10),
        "fixed",
    ),
    Embodiment(
        "finger",
        ("spin", "turn_easy", "turn_hard"),
        50.0,
        _observation(
            ("position", 4, "rad, m"),
            ("velocity", 3, "rad/s"),
            ("touch", 2, "1"),
            ("target_position", 2, "m"),
            ("dist_to_target", 1, "m"),
        ),
        _efforts("N m", proximal=30, distal=15),
        "cam0",
    ),
    Embodiment(
        "reacher",
        ("easy", "hard"),
        50.0,
        _observation(("position", 2, "rad"), ("to_target", 2, "m"), ("velocity", 2, "rad/s")),
        _efforts("N m", shoulder=0.05, wrist=0.05),
        "fixed",
    ),
    Embodiment(
        "point_mass",
        ("easy",),
        50.0,
        _observation(("position", 2, "m"), ("velocity", 2, "m/s")),
        _efforts("N", t1=0.1, t2=0.1),
        "fixed",
    ),
    Embodiment(
        "ball_in_cup",
        ("catch",),
        50.0,
        _observation(("position", 4, "m"), ("velocity", 4, "m/s")),
        _efforts("N", x=5, z=5),
        "cam0",
    ),
    Embodiment(
        "hopper",
        ("stand",),
        50.0,
        _observation(("position", 6, "m, rad"), ("velocity", 7, "m/s, rad/s"), ("touch", 2, "1")),
        _efforts("N m", waist=30, hip=40, knee=30, ankle=10),
        "cam0",
    ),
    Embodiment(
        "fish",
        ("upright",),
        25.0,
        _observation(
            ("joint_angles", 7, "rad"), ("upright", 1, "1"), ("velocity", 13, "m/s, rad/s")
        ),
        tuple(
            ActionField(name, "rad", "joint_position", -1.0, 1.0)
            for name in ("tail", "tail_twist", "fins_flap", "finleft_pitch", "finright_pitch")
        ),
        "fixed_top",
    ),
    Embodiment(
        "pendulum",
        ("swingup",),
        50.0,
        _observation(("orientation", 2, "1"), ("velocity", 1, "rad/s")),
        _efforts("N m", torque=1),
        "fixed",
    ),
)
EMBODIMENTS = {embodiment.domain: embodiment for embodiment in _EMBODIMENTS}

# The paper's layout: each key of the suite's 27 benchmark tasks (without the quadruped and the dog)
# once, as long as its longest use, in the order of the reference's data. Together 204 numbers.
UNION_OBSERVATION = tuple(
    ObservationField(name, size, "mixed")
    for name, size in (
        ("orientations", 14),
        ("velocity", 27),
        ("position", 8),
        ("touch", 5),
        ("target_position", 2),
        ("dist_to_target", 1),
        ("joint_angles", 21),
        ("upright", 1),
        ("target", 3),
        ("head_height", 1),
        ("extremities", 12),
        ("torso_vertical", 3),
        ("com_velocity", 3),
        ("arm_pos", 16),
        ("arm_vel", 8),
        ("hand_pos", 4),
        ("object_pos", 4),
        ("object_vel", 3),
        ("target_pos", 4),
        ("orientation", 2),
        ("to_target", 2),
        ("joints", 14),
        ("body_velocities", 45),
        ("height", 1),
    )
)
UNION_ACTION = tuple(
    ActionField(f"actuator_{number}", "mixed", "native", -1.0, 1.0)
    for number in range(1, UNION_ACTIONS + 1)
)
UNION_RATE = 50.0
"""Nominal: the tasks of the union run at 25 to 100 Hz, a control tick is what they share."""

# Task → target return of the paper's evaluation (raw), the best of its training data. The first
# eleven are its training tasks, the others its held-out ones.
TARGET_RETURNS = {
    "finger-turn_easy": 1000.0,
    "fish-upright": 999.433,
    "hopper-stand": 975.575,
    "point_mass-easy": 998.373,
    "walker-stand": 999.82,
    "walker-run": 513.464,
    "ball_in_cup-catch": 1000.0,
    "cartpole-swingup": 857.492,
    "cheetah-run": 451.274,
    "finger-spin": 987.0,
    "reacher-easy": 1000.0,
    "cartpole-balance": 993.194,
    "finger-turn_hard": 1000.0,
    "pendulum-swingup": 1000.0,
    "reacher-hard": 1000.0,
    "walker-walk": 982.159,
}
TRAIN_TASKS = tuple(TARGET_RETURNS)[:11]
TEST_TASKS = tuple(TARGET_RETURNS)[11:]


def suite_name(domain: str) -> str:
    """Return the suite of a domain: ``point_mass`` → ``dmcontrol-point-mass``."""
    return f"dmcontrol-{domain.replace('_', '-')}"
