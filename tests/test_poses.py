"""Algebra of poses: moving a path with its object and back changes nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lram_sim.poses import alike, apart, between, carried, inverse, joined, matrix
from lram_sim.subtasks import Pose

Array = npt.NDArray[np.float64]

_numbers = st.floats(-2, 2, allow_nan=False)
_vectors = st.tuples(_numbers, _numbers, _numbers).map(np.array)
_poses = st.builds(
    lambda position, turn: joined(position, Rotation.from_rotvec(turn).as_matrix()),
    _vectors,
    _vectors,
)
_paths = st.lists(_poses, min_size=1, max_size=4).map(np.stack)
_symmetries = st.sampled_from([0, 1, 2, 4])


@given(_poses)
def test_a_pose_and_its_inverse_are_the_identity(pose: Array) -> None:
    np.testing.assert_allclose(inverse(pose) @ pose, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(pose @ inverse(pose), np.eye(4), atol=1e-12)


@given(_paths, _poses, _poses)
def test_a_path_that_is_carried_there_and_back_is_itself(
    path: Array, source: Array, target: Array
) -> None:
    there = carried(path, source, target)
    np.testing.assert_allclose(carried(there, target, source), path, atol=1e-11)
    # Seen from the object it has not changed.
    np.testing.assert_allclose(inverse(target) @ there, inverse(source) @ path, atol=1e-11)


@given(_paths, _poses)
def test_a_path_that_is_carried_to_the_same_pose_is_itself(path: Array, pose: Array) -> None:
    np.testing.assert_allclose(carried(path, pose, pose), path, atol=1e-11)


@given(_poses, _poses, st.floats(0, 1))
def test_what_is_between_lies_on_the_straight_way_and_the_shortest_turn(
    start: Array, end: Array, share: float
) -> None:
    way, turn = apart(start, end)
    middle = between(start, end, share)
    gone, turned = apart(start, middle)
    np.testing.assert_allclose((gone, turned), (share * way, share * turn), atol=1e-6)
    np.testing.assert_allclose(between(start, end, 1.0), end, atol=1e-6)


@given(_poses, _poses, _symmetries)
def test_an_object_that_looks_the_same_is_turned_least(
    target: Array, source: Array, symmetry: int
) -> None:
    found = alike(target, source, symmetry)
    np.testing.assert_allclose(found[:, 2:], target[:, 2:], atol=1e-9)  # place and own z axis
    angles = np.arange(symmetry or 60) * 2 * np.pi / (symmetry or 60)
    zero = np.zeros_like(angles)
    turns = Rotation.from_rotvec(np.stack((zero, zero, angles), axis=1)).as_matrix()
    same = target[:3, :3] @ turns
    # The trace of the turn between two rotations falls with its angle.
    assert (
        np.sum(found[:3, :3] * source[:3, :3]) >= np.sum(same * source[:3, :3], (1, 2)).max() - 1e-9
    )
    if symmetry:
        assert np.abs(same - found[:3, :3]).max((1, 2)).min() < 1e-9


@given(_vectors, _vectors)
def test_a_pose_is_the_matrix_of_its_quaternion(position: Array, turn: Array) -> None:
    rotation = Rotation.from_rotvec(turn)
    for sign in (1, -1):
        found = matrix(Pose(position, sign * rotation.as_quat()))
        np.testing.assert_allclose(found, joined(position, rotation.as_matrix()), atol=1e-12)
