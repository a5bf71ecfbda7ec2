"""What works, and must not stay as it is: the findings of a check that are told in red, and go on being told.

A danger is a warning of the check by its status, since sending works.
"""

from __future__ import annotations

from portal.connections.installation import Installation
from portal.connections.registrations import microsoft_endpoints
from portal.connections.stored import StoredConnection
from portal.connections.values import Method
from portal.transports import Diagnosis, Step, StepResult, StepStatus
from portal.transports.diagnosis import api_target, diagnose

_SENDS_AS_EVERYBODY = "graph.sends_as_everybody"
_DANGERS = frozenset({_SENDS_AS_EVERYBODY})
_EVERY_MAILBOX = "Mail.Send"  # as an application's own token names it; what Exchange gave for one mailbox is in none


def is_danger(step: StepResult) -> bool:
    """Whether a step passed, and found what must not stay."""
    return step.status is StepStatus.WARN and step.diagnosis is not None and step.diagnosis.code in _DANGERS


def danger_of(connection: StoredConnection, *, installation: Installation) -> Diagnosis | None:
    """What the last access token of a stored connection shows, None where nothing is dangerous."""
    own, grant = connection.values.provider, connection.grant
    if own is None or grant is None or connection.values.method is not Method.MICROSOFT_APP or own.uses_smtp:
        return None
    if _EVERY_MAILBOX not in grant.scopes:
        return None
    target = api_target(
        microsoft_endpoints(own, installation).graph_url,
        mailbox=own.mailbox,
        client_id=own.client_id,
        tenant=own.tenant_id,
        sender=connection.as_sent.from_address,
    )
    return diagnose(Step.PERMISSIONS, code=_SENDS_AS_EVERYBODY, target=target)
