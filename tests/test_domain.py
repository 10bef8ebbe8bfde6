"""Runs on one machine get domains of their own."""

from __future__ import annotations

import rclpy

from lram_ros import domain


def test_two_runs_get_different_domains(monkeypatch):
    monkeypatch.setattr(domain, "DOMAINS", [77, 78])
    with domain.reserved_domain() as first, domain.reserved_domain() as second:
        assert {first, second} == {77, 78}
    with domain.reserved_domain() as again:
        assert again in (77, 78)


def test_a_domain_with_a_live_participant_is_passed_over(monkeypatch):
    context = rclpy.Context()
    with domain.reserved_domain() as taken:
        for name, value in domain.isolation(taken).items():
            monkeypatch.setenv(name, value)
        rclpy.init(context=context)
        node = rclpy.create_node("somebody", context=context)
    try:
        other = taken % 100 + 1
        monkeypatch.setattr(domain, "DOMAINS", [taken, other])
        for _ in range(5):
            with domain.reserved_domain() as found:
                assert found != taken
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
