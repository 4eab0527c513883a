"""What the Prefect server does by itself: it tells a webhook how runs end."""

import json
from typing import Any

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import CallWebhook
from pydantic import SecretStr

FLOW = "drdd"
NOTIFICATIONS = "drdd: notifications"
BLOCK = "drdd"  # the Webhook block that is told how runs end
ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")
OURS = {"prefect.resource.role": "flow", "prefect.resource.name": FLOW}
PAYLOAD = {
    "text": "drdd {{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}",
    "run": "{{ flow_run.name }}",
    "state": "{{ flow_run.state.name }}",
    "message": "{{ flow_run.state.message }}",
    "deployment": "{{ deployment.name }}",
    "page": "{{ flow_run|ui_url }}",
}


def notify(client: SyncPrefectClient, url: str) -> None:
    """POST a JSON of PAYLOAD's fields to `url` when a run ends. The URL is kept as a secret, in a block."""
    block: Any = Webhook(url=SecretStr(url)).save(BLOCK, overwrite=True)
    told = CallWebhook(block_document_id=block, payload=json.dumps(PAYLOAD))
    ended = _trigger(expect=_events(("GateMissed", *ENDS)), posture=Posture.Reactive)
    _put(client, AutomationCore(name=NOTIFICATIONS, trigger=ended, actions=[told]))


def silence(client: SyncPrefectClient) -> None:
    found: list[Any] = list(client.read_automations_by_name(NOTIFICATIONS))
    for one in found:
        client.delete_automation(one.id)


def _trigger(**what: object) -> EventTrigger:
    """Of each run of the flow by itself."""
    return EventTrigger.model_validate(
        {
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": OURS,
            "for_each": {"prefect.resource.id"},
            "threshold": 1,
            **what,
        }
    )


def _events(states: tuple[str, ...]) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _put(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """As it is wanted, and once."""
    found: list[Any] = list(client.read_automations_by_name(wanted.name))
    for one in found[1:]:
        client.delete_automation(one.id)
    if not found:
        client.create_automation(wanted)
    else:
        client.update_automation(found[0].id, wanted)
