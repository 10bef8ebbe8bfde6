"""What a mock robot does beside its contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lram_core.errors import CommandError


@dataclass(frozen=True)
class MockOptions:
    """What a mock robot does beside its contract.

    Attributes:
        faults: in the grammar of :mod:`lram_ros.mock.faults`.
        rate: of publishing, in Hz; the contract's control rate by default.
        sim_time: publish ``/clock``, which starts at 1 s (0 means that no time is known).
        command_timeout: seconds after which a missing command means hold.
        lag: time constant with which joints follow commands, in seconds.
        task: announced on the contract's episode topic.
        sizes: observation field → number of values, where neither names nor type tell it.

    Raises:
        CommandError: a number is out of range.
    """

    faults: tuple[str, ...] = ()
    rate: float | None = None
    sim_time: bool = False
    command_timeout: float = 0.25
    lag: float = 0.05
    task: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= 10_000:
            raise CommandError(f"rate: expected above 0, up to 10000 Hz, found {self.rate:g}")
        if not self.command_timeout > 0 or not self.lag >= 0:
            raise CommandError(
                f"expected command_timeout > 0 and lag >= 0, found {self.command_timeout:g}, "
                f"{self.lag:g}"
            )
