"""The watchdog: barks once when it is not fed, in its own thread, on its own clock."""

from __future__ import annotations

import threading
import time

import pytest

from lram_core.errors import ContractError
from lram_ros.safety import Watchdog


class Clock:
    """Steady time that a test sets."""

    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def heard():
    return []


@pytest.fixture
def dog(clock, heard):
    return Watchdog(0.25, heard.append, clock)


def test_silent_until_armed(dog, clock, heard):
    clock.now += 100
    dog.feed()
    assert not dog.check()
    assert heard == []


def test_fed_in_time_is_silent(dog, clock, heard):
    dog.arm()
    for _ in range(100):
        clock.now += 0.24
        assert not dog.check()
        dog.feed()
    assert heard == []


def test_barks_once_and_says_what_it_found(dog, clock, heard):
    dog.arm()
    clock.now += 0.375
    for _ in range(5):
        assert dog.check()
        clock.now += 1.0
    assert heard == [dog.expired] == ["no tick for 0.375 s (at most 0.25 s)"]


def test_a_loop_that_comes_back_does_not_silence_it(dog, clock, heard):
    dog.arm()
    clock.now += 1.0
    dog.check()
    dog.feed()
    assert dog.check()
    dog.arm()
    assert dog.expired == ""
    assert not dog.check()
    clock.now += 1.0
    assert dog.check()
    assert len(heard) == 2


def test_disarmed_it_is_silent(dog, clock, heard):
    dog.arm()
    dog.disarm()
    clock.now += 100
    assert not dog.check()
    assert heard == []


def test_keeps_what_the_callback_raised(clock):
    def fail(text):
        raise RuntimeError("no publisher")

    dog = Watchdog(0.1, fail, clock)
    dog.arm()
    clock.now += 1
    assert dog.check()
    assert str(dog.failure) == "no publisher"


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan"), float("inf")])
def test_a_deadline_is_positive(deadline):
    with pytest.raises(ContractError, match="deadline must be positive"):
        Watchdog(deadline, print)


def test_thread_barks_by_itself_when_starved():
    barked, threads = threading.Event(), []

    def bark(text):
        threads.append(threading.current_thread().name)
        barked.set()

    dog = Watchdog(0.1, bark)
    dog.start()
    try:
        assert barked.wait(20.0)
    finally:
        dog.stop()
    assert threads == ["watchdog"]
    assert "watchdog" not in [thread.name for thread in threading.enumerate()]


def test_thread_is_silent_while_it_is_fed():
    heard = []
    dog = Watchdog(5.0, heard.append)
    dog.start()
    for _ in range(20):
        time.sleep(0.01)
        dog.feed()
    dog.stop()
    assert heard == []
    dog.stop()  # again: nothing to do


def test_can_be_started_again(heard):
    dog = Watchdog(0.05, heard.append)
    for count in (1, 2):
        dog.start()
        limit = time.monotonic() + 20.0
        while len(heard) < count and time.monotonic() < limit:
            time.sleep(0.01)
        dog.stop()
        assert len(heard) == count
