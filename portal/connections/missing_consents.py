"""Why a connection that needs somebody's consent has none in force: the cause in a sentence, for whoever can mend it.

The click that mends it is the same for each: Connect, on the connection's page.
"""

from __future__ import annotations

from portal.connections.grant_sealing import GrantState
from portal.connections.stored import StoredConnection
from portal.connections.unfilled import unfilled
from portal.transports import Step
from portal.transports.diagnosis import api_target, diagnose
from portal.wording import N_, Text


def cause_of(connection: StoredConnection) -> Text:
    """What became of the consent, for a connection that lacks one; where settings are in its way, also what to do."""
    grant = connection.grant
    if grant is None:
        return N_("Nobody has consented yet.")
    if unset := unfilled(connection.values):
        return next(iter(unset.values()))
    if grant.misfit is not None:
        return grant.misfit.reason
    if grant.dead_code:
        return _cause_of_death(connection, grant)
    return N_("The consent that is stored was given for other settings, or this portal's key does not open it.")


def reason_of(connection: StoredConnection) -> Text:
    """The same with what mends it."""
    if connection.grant is not None and connection.grant.misfit is not None:
        return connection.grant.misfit.reason
    if connection.grant is not None and unfilled(connection.values):
        return cause_of(connection)
    return N_("%(cause)s An administrator opens it and chooses Connect.", cause=cause_of(connection))


def _cause_of_death(connection: StoredConnection, grant: GrantState) -> Text:
    if grant.dead_code == "microsoft.consent_needed" and grant.account:
        return N_(
            "What %(account)s consented to is less than the From address and the scope ask for now.",
            account=grant.account,
        )
    own = connection.values.provider
    target = api_target(
        "",
        mailbox=(own.mailbox if own else "") or grant.account,
        client_id=own.client_id if own else "",
        tenant=own.tenant_id if own else "",
        sender=connection.as_sent.from_address,
    )
    try:
        return diagnose(Step.TOKEN, code=grant.dead_code, target=target).cause
    except ValueError:  # stored by a version that had another name for it
        return N_("The provider does not honour the consent of %(account)s any more.", account=grant.account)
