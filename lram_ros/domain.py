"""A ROS 2 domain of one's own: processes of one run see each other and nobody else.

ROS_DOMAIN_ID separates runs on one machine, ROS_AUTOMATIC_DISCOVERY_RANGE keeps them off the
network. On one machine Fast DDS then uses shared memory, whatever FASTDDS_BUILTIN_TRANSPORTS says;
a process that is killed outright leaves its files in /dev/shm, any other ending removes them.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lram_core.errors import CommandError

DOMAINS = range(1, 101)  # ports of higher ones lie among those the kernel hands out
LOCK_PORT = 21500  # TCP, one port a domain; DDS itself uses UDP
# Ports of the DDS interoperability protocol; discovery on one machine listens on no multicast.
PORT_BASE, PORT_GAIN = 7400, 250
MULTICAST, FIRST_PARTICIPANT, PARTICIPANT_STEP = 0, 10, 2
# A participant's number counts those of its process in every domain, so it need not be the first.
PROBED_PARTICIPANTS = 16


def isolation(domain: int) -> dict[str, str]:
    """Environment variables that put a process into a domain, on this machine alone."""
    return {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


@contextmanager
def reserved_domain() -> Iterator[int]:
    """A domain that nobody on this machine uses, held until the context ends.

    Held means: no other caller of this function gets it. A domain in use by any other ROS 2
    process is passed over.

    Raises:
        CommandError: all domains are taken.
    """
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as lock:
            try:
                lock.bind(("127.0.0.1", LOCK_PORT + domain))
            except OSError:
                continue
            if _in_use(domain):
                continue
            yield domain
            return
    raise CommandError(
        f"ROS 2 domains {DOMAINS[0]} to {DOMAINS[-1]} are all in use on this machine"
    )


def _in_use(domain: int) -> bool:
    """Whether a participant of the domain listens on one of the first ports it may use."""
    base = PORT_BASE + PORT_GAIN * domain
    first = base + FIRST_PARTICIPANT
    last = first + PROBED_PARTICIPANTS * PARTICIPANT_STEP
    for port in (base + MULTICAST, *range(first, last, PARTICIPANT_STEP)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))  # without address reuse: refused when anyone has it
            except OSError:
                return True
    return False
