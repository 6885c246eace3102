"""Call a webhook when a night fails, and when a pool has drifted; then also pause its schedule.

    python automations.py https://hooks.example.org/assay

PREFECT_API_URL names the server. Run it again to change the address. Another block that notifies (Slack,
e-mail) goes the same way, with the action `SendNotification`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook, PauseDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

FLOWS = ["assay-curate", "assay-next", "assay-features"]


def automations(block: UUID) -> list[Automation]:
    """Return the two automations, which call the webhook that is kept as this block."""
    failed = Automation(
        name="assay: a night failed",
        description="A run of assay failed or crashed.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": FLOWS},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            CallWebhook(
                block_document_id=block,
                payload='{"failed": {{ flow_run.name | tojson }}, "said": {{ flow_run.state.message | tojson }}}',
            )
        ],
    )
    drifted = Automation(
        name="assay: a pool has drifted",
        description="A generation began because the pool is no longer what its embedder was fitted on.",
        trigger=EventTrigger(expect={"assay.pool.drifted"}, posture=Posture.Reactive, threshold=1),
        actions=[
            CallWebhook(
                block_document_id=block,
                payload='{"drifted": {{ event.resource.name | tojson }}, "run": "{{ event.payload.run_id }}"}',
            ),
            # somebody looks first: assay diff, assay report --compare; then it is resumed
            PauseDeployment(source="inferred"),
        ],
    )
    return [failed, drifted]


def main(url: str) -> None:
    """Keep the webhook's address as a block, and the automations with the server."""
    for automation in automations(Webhook(url=url).save("assay-alerts", overwrite=True)):
        with suppress(ValueError):  # there is none of that name yet
            Automation.read(name=automation.name).delete()
        automation.create()
        print(automation.name)


if __name__ == "__main__":
    main(sys.argv[1])
