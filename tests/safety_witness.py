"""Watches every decision of the supervisor and checks what must hold of all of them."""

from __future__ import annotations

import numpy as np
from safety_rig import PERIOD

from lram_ros.safety import (
    Mode,
    Reason,
    Request,
)

MOVING = (Mode.BLENDING, Mode.RUNNING)


class Witness:
    """Watches every decision of a loop and checks the invariants, on commands alone."""

    def __init__(self, limits, rounding=1e-9):
        self.limits = limits
        self.slack = rounding * (limits.high - limits.low)
        self.command = self.velocity = None
        self.fault = None
        self.mode = Mode.IDLE
        self.stopping = 0
        self.sent = 0

    def see(self, decision, measured, found_nothing, request, walls=True):
        limits = self.limits
        if decision.command is not None:
            self.sent += 1
            command = decision.command
            assert np.isfinite(command).all()
            assert (command >= limits.low).all()
            assert (command <= limits.high).all()
            velocity = self.check_motion(decision, command, measured)
            if decision.mode not in MOVING and self.velocity is not None:
                self.check_no_new_motion(velocity)
            self.command, self.velocity = command, velocity
        else:
            assert decision.mode in (Mode.IDLE, Mode.WAITING, Mode.HOLDING)
            self.command = self.velocity = None
        self.check_latch(decision, found_nothing, request)
        self.mode = decision.mode

    def check_motion(self, decision, command, measured):
        limits = self.limits
        began = decision.mode in MOVING and self.mode not in MOVING
        if self.command is None or (began and not self.near(command, measured)):
            # A start: at the measured pose, standing still.
            known = limits.position & np.isfinite(measured)
            at = np.clip(measured, limits.low, limits.high)
            assert (np.abs(command - at) <= self.slack)[known].all()
            previous = np.where(limits.absolute, command, 0.0)
            before = np.zeros(limits.size)
        else:
            previous, before = self.command, self.velocity
        base = np.where(limits.absolute, previous, 0.0)
        moved = command - base
        per = np.where(limits.absolute | limits.delta, PERIOD, 1.0)
        velocity = moved / per
        # max_velocity and max_step, for a tick of nominal length.
        low, high = limits.speed
        assert (moved >= low * per - self.slack).all()
        assert (moved <= high * per + self.slack).all()
        # max_acceleration; a wall seen by a measurement may brake harder, never speed up.
        change = velocity - before
        allowed = limits.acceleration * PERIOD + self.slack / per
        harder = limits.walled & (np.abs(velocity) < np.abs(before))
        harder |= limits.walled & (velocity == 0)
        assert ((np.abs(change) <= allowed) | harder).all()
        return velocity

    def near(self, command, measured):
        """Whether a start goes on from what is held."""
        limits = self.limits
        return (np.abs(command - self.command) <= limits.step + self.slack)[limits.position].all()

    def check_no_new_motion(self, velocity):
        """Speeds only fall and do not turn round; levels go to their rest value instead."""
        limits = self.limits
        level = np.array([f.kind in ("joint_effort", "native") for f in limits.fields])
        slack = self.slack / PERIOD
        assert (level | (np.abs(velocity) <= np.abs(self.velocity) + slack)).all()
        assert (level | (velocity * self.velocity >= -slack)).all()

    def check_latch(self, decision, found_nothing, request):
        if self.mode is Mode.STOPPING:
            self.stopping += 1
            assert self.stopping <= self.limits.stop_ticks
        else:
            self.stopping = 0
        latched = self.mode is Mode.HOLDING or (self.mode is Mode.STOPPING and self.fault)
        rearmed = self.mode is Mode.HOLDING and request is Request.REARM and found_nothing
        stays = decision.mode in (Mode.STOPPING, Mode.HOLDING, Mode.IDLE)
        if latched and not rearmed:
            assert stays
            assert decision.fault == self.fault  # one reason, the first
        elif rearmed and stays:  # re-armed, and latched again by what the policy said
            assert decision.reason in (Reason.COMMAND_SIZE, Reason.COMMAND_NOT_FINITE)
        if decision.mode is Mode.HOLDING:
            assert decision.fault is not None
            if self.mode is Mode.HOLDING and self.command is not None:
                assert (self.velocity == 0)[self.limits.absolute].all()
        self.fault = decision.fault
