"""The Prefect automation that calls a webhook when a run ends."""

import json
from typing import Any

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import CallWebhook
from pydantic import SecretStr

from flows.lost import FLOW

NOTIFICATIONS = "drdd: notifications"
BLOCK = "drdd"  # the Webhook block, which holds the URL
ENDS = ("GateMissed", "Completed", "Failed", "Crashed", "Cancelled", "TimedOut")
PAYLOAD = {
    "text": "drdd {{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}",
    "run": "{{ flow_run.name }}",
    "state": "{{ flow_run.state.name }}",
    "message": "{{ flow_run.state.message }}",
    "deployment": "{{ deployment.name }}",
    "page": "{{ flow_run|ui_url }}",
}


def notify(client: SyncPrefectClient, url: str) -> None:
    """POST a JSON of PAYLOAD's fields to `url` when a run ends. The URL is a secret of a Prefect block."""
    silence(client)
    block: Any = Webhook(url=SecretStr(url)).save(BLOCK, overwrite=True)
    ended = EventTrigger.model_validate(
        {
            "expect": {f"prefect.flow-run.{state}" for state in ENDS},
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": FLOW},
            "for_each": {"prefect.resource.id"},
            "threshold": 1,
            "posture": Posture.Reactive,
        }
    )
    told = CallWebhook(block_document_id=block, payload=json.dumps(PAYLOAD))
    client.create_automation(AutomationCore(name=NOTIFICATIONS, trigger=ended, actions=[told]))


def silence(client: SyncPrefectClient) -> None:
    found: list[Any] = list(client.read_automations_by_name(NOTIFICATIONS))
    for one in found:
        client.delete_automation(one.id)
