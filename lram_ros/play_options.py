"""How a bag is played, and what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lram_core.errors import CommandError

_NAME = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True)
class PlayOptions:
    """How a bag is played.

    Attributes:
        rate: of playing; 2: twice as fast as recorded. In lockstep an upper bound: the next set
            waits for the answer to the one before.
        bag_namespace: in which the bag was recorded.
        recorded_under: prefix of the topics of the bag that the contract does not name, such as
            the recorded commands; empty: they are not published.
        wait_for_recorder: begin when a recorder has subscribed to all that comes.
        allow_listeners: play even where somebody other than a recorder takes the commands.
        ready_timeout: seconds to wait for the policy node.
        answer_timeout: seconds to wait for the answer to a set, in lockstep.

    Raises:
        CommandError: the rate is not positive, or ``recorded_under`` is no name.
    """

    rate: float = 1.0
    bag_namespace: str = "/"
    recorded_under: str = ""
    wait_for_recorder: bool = False
    allow_listeners: bool = False
    ready_timeout: float = 120.0
    answer_timeout: float = 30.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise CommandError(f"rate: expected above 0, found {self.rate:g}")
        if self.recorded_under and not _NAME.fullmatch(self.recorded_under):
            raise CommandError(
                f"recorded_under: expected a name such as 'recorded', found '{self.recorded_under}'"
            )


@dataclass(frozen=True)
class Played:
    """What was played.

    Attributes:
        messages: of the contract's inputs.
        answered: sets that the policy was asked to answer, and did; 0 unless in lockstep.
        incomplete: sets that lacked a topic in the bag; counted in lockstep alone.
        recorded_s, wall_s: how long that took when it was recorded, and now.
    """

    messages: int
    answered: int
    incomplete: int
    recorded_s: float
    wall_s: float
