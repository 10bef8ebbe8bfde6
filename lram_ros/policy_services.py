"""What may be asked of a configured policy node: its services, and the external stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from lram_ros.policy_parameters import RUNTIME_IN_USE
from lram_ros.qos import data_qos
from lram_ros.runner import Runner
from lram_ros.srv import SetTargetReturn, SwitchBundle

_INACTIVE = "the node is not active"


class PolicyServices:
    """Opens the services and listens for the stop.

    Args:
        node: the policy node; its parameters ``target_return`` and ``bundle`` are what the
            services set, with the same checks.
        stop_topic: ``std_msgs/Bool``, true stops.
        runner: the control loop of the present activation; None while there is none.
        keep: takes what was made, for whoever has to destroy it.
    """

    def __init__(
        self,
        node: Node,
        stop_topic: str,
        runner: Callable[[], Runner | None],
        keep: Callable[[Any], Any],
    ) -> None:
        self._node, self._runner = node, runner
        keep(node.create_subscription(Bool, stop_topic, self._stop, data_qos()))
        keep(node.create_service(Trigger, "~/rearm", self._rearm))
        keep(node.create_service(Trigger, "~/reset_episode", self._reset))
        keep(node.create_service(SetTargetReturn, "~/set_target_return", self._target_return))
        keep(node.create_service(SwitchBundle, "~/switch_bundle", self._bundle))

    def _stop(self, message: Any) -> None:
        if (runner := self._runner()) is not None:
            runner.external_stop(message.data)

    def _rearm(self, request: Any, response: Any) -> Any:
        response.success, response.message = False, _INACTIVE
        if (runner := self._runner()) is not None:
            response.success, response.message = runner.rearm()
        return response

    def _reset(self, request: Any, response: Any) -> Any:
        response.success, response.message = False, _INACTIVE
        if (runner := self._runner()) is not None:
            runner.reset_episode()
            response.success, response.message = True, "the policy begins anew"
        return response

    def _target_return(self, request: Any, response: Any) -> Any:
        return self._set("target_return", request.target_return, response)

    def _bundle(self, request: Any, response: Any) -> Any:
        self._set("bundle", request.bundle, response)
        if response.success:
            response.message = str(self._node.get_parameter(RUNTIME_IN_USE).value)
        return response

    def _set(self, name: str, value: Any, response: Any) -> Any:
        (result,) = self._node.set_parameters([Parameter(name, value=value)])
        response.success, response.message = result.successful, result.reason
        return response
