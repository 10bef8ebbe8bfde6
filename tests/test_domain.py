"""Runs on one machine get domains of their own."""

from __future__ import annotations

import pytest
import rclpy

from lram_core.errors import CommandError
from lram_ros import domain


def test_two_runs_get_different_domains(monkeypatch):
    with domain.reserved_domain() as first, domain.reserved_domain() as second:
        assert first != second
        monkeypatch.setattr(domain, "DOMAINS", [first, second])
        with pytest.raises(CommandError, match="are all in use"), domain.reserved_domain():
            pass
    with domain.reserved_domain() as again:
        assert again in (first, second)


def test_a_domain_with_a_live_participant_is_passed_over(monkeypatch):
    context = rclpy.Context()
    with domain.reserved_domain() as taken, domain.reserved_domain() as other:
        for name, value in domain.isolation(taken).items():
            monkeypatch.setenv(name, value)
        rclpy.init(context=context)
        node = rclpy.create_node("somebody", context=context)
    try:
        monkeypatch.setattr(domain, "DOMAINS", [taken, other])
        for _ in range(5):
            with domain.reserved_domain() as found:
                assert found != taken
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
