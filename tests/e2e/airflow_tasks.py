"""What a DAG's tasks do, run by Airflow's own Python: prints one JSON line. Arguments: folder of the jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.providers.apache.livy.hooks.livy import BatchState, LivyHook
from airflow.providers.apache.livy.operators.livy import LivyOperator

folder = Path(sys.argv[1])
told: dict[str, Any] = {}


class TaskInstance:
    """What a scheduler gives a task: here it keeps what the task hands on."""

    def __init__(self) -> None:
        self.handed_on: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.handed_on[key] = value


task = TaskInstance()
context: Any = {"ti": task}

operator = LivyOperator(
    task_id="good",
    file=str(folder / "good.py"),
    args=["p q", 7],
    conf={"spark.ui.enabled": "false", "spark.master.rest.enabled": "false"},
    driver_memory="600m",
    polling_interval=1,
    durable=False,
)
told["good"] = operator.execute(context)
hook = LivyHook()
told["good_state"] = hook.get_batch_state(told["good"]).value
told["terminal"] = told["good_state"] in {state.value for state in hook.TERMINAL_STATES}
told["log"] = hook.get_batch_logs(told["good"], 0, 1000)["log"]
told["batch"] = hook.get_batch(told["good"])

try:
    LivyOperator(task_id="bad", file=str(folder / "bad.py"), polling_interval=1, durable=False).execute(context)
except Exception as exc:  # noqa: BLE001 - what it raises is what is looked at
    told["bad"] = f"{type(exc).__name__}: {exc}"

slow = LivyOperator(task_id="slow", file=str(folder / "slow.py"))
number = slow.execute(context)
told["slow_state"] = hook.get_batch_state(number).value
slow.on_kill()
try:
    told["killed"] = hook.get_batch_state(number).value
except Exception as exc:  # noqa: BLE001 - what it raises is what is looked at
    told["killed"] = type(exc).__name__

try:
    LivyOperator(task_id="refused", file="http://example.org/x.py").execute(context)
except Exception as exc:  # noqa: BLE001 - what it raises is what is looked at
    told["refused"] = f"{type(exc).__name__}: {exc}"

assert BatchState.SUCCESS.value == "success"
told["handed_on"] = task.handed_on
print(json.dumps(told))  # noqa: T201 - the test reads it
