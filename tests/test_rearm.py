"""``lram rearm``: what the node answers, over DDS."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from ros_graph import Peer
from std_srvs.srv import Trigger

from lram_core.errors import CommandError
from lram_ros.rearm import ask

GENEROUS_S = 60.0


@pytest.fixture
def policy() -> Iterator[list[tuple[bool, str]]]:
    """A node whose ``policy/rearm`` gives the answers in the list, one after the other."""
    answers: list[tuple[bool, str]] = []
    ended = threading.Event()
    with Peer("policy") as peer:

        def give(request, response):
            response.success, response.message = answers.pop(0)
            return response

        peer.node.create_service(Trigger, "policy/rearm", give)
        thread = threading.Thread(target=lambda: peer.until(ended.is_set, timeout=200))
        thread.start()
        yield answers
        ended.set()
        thread.join()


def test_what_the_node_says_is_told(policy):
    policy += [(True, "re-armed"), (False, "goal is 2.0 s old"), (True, "goal")]
    with Peer("asker") as asker:
        context = asker.context
        assert ask("policy/rearm", GENEROUS_S, lambda: False, context) == "re-armed"
        with pytest.raises(CommandError, match=r"/policy/rearm: goal is 2\.0 s old"):
            ask("policy/rearm", GENEROUS_S, lambda: False, context)
        assert ask("policy/rearm", GENEROUS_S, lambda: True, context) == ""
        with pytest.raises(CommandError, match="nobody offers the service /other/rearm after"):
            ask("other/rearm", 0.3, lambda: False, context)
    assert policy == [(True, "goal")]


@pytest.mark.parametrize(
    ("answer", "code", "output", "errors"),
    [
        ((True, "re-armed"), 0, "policy: accepted: re-armed\n", ""),
        ((False, "nothing to re-arm"), 2, "", "error: /policy/rearm: nothing to re-arm\n"),
    ],
)
def test_the_command(policy, answer, code, output, errors):
    policy.append(answer)
    words = [sys.executable, "-m", "lram_core.cli", "rearm", "--timeout", str(GENEROUS_S)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, output, errors)
