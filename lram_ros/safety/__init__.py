"""The safety supervisor: limits, faults, stops, and the rules for the recurrent state.

Free of rclpy: a node, a test or a replay of a recording feed it alike. See docs/safety.md.
"""

from __future__ import annotations

from lram_ros.safety.clock_check import (
    ClockLimits,
    ClockMemory,
    ClockState,
    ClockVerdict,
    check_clock,
)
from lram_ros.safety.contract_limits import contract_limits
from lram_ros.safety.defaults import derive_limits
from lram_ros.safety.limits import FieldLimits, SafetyLimits, Workspace
from lram_ros.safety.modes import Decision, Mode, Rules, State
from lram_ros.safety.reasons import Fault, Reason
from lram_ros.safety.supervisor import supervise, wants_proposal, wind_down
from lram_ros.safety.watchdog import Watchdog
from lram_ros.safety.world import Request, Source, World

__all__ = [
    "ClockLimits",
    "ClockMemory",
    "ClockState",
    "ClockVerdict",
    "Decision",
    "Fault",
    "FieldLimits",
    "Mode",
    "Reason",
    "Request",
    "Rules",
    "SafetyLimits",
    "Source",
    "State",
    "Watchdog",
    "Workspace",
    "World",
    "check_clock",
    "contract_limits",
    "derive_limits",
    "supervise",
    "wants_proposal",
    "wind_down",
]
