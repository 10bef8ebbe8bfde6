"""What a function changes in its process comes back."""

from __future__ import annotations

import os
import signal

from lram_ros.surroundings import environment, stop_request

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def test_environment(monkeypatch):
    monkeypatch.setenv("LRAM_TEST_OLD", "before")
    monkeypatch.delenv("LRAM_TEST_NEW", raising=False)
    with environment({"LRAM_TEST_OLD": "inside", "LRAM_TEST_NEW": "inside"}):
        assert os.environ["LRAM_TEST_OLD"] == os.environ["LRAM_TEST_NEW"] == "inside"
    assert os.environ["LRAM_TEST_OLD"] == "before"
    assert "LRAM_TEST_NEW" not in os.environ


def test_signal_handlers():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_request() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "SIGTERM"
    assert [signal.getsignal(number) for number in SIGNALS] == before
