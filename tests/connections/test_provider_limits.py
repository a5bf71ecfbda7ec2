"""How fast a provider is handed mail where nobody set anything else."""

from __future__ import annotations

import pytest

from portal.connections.provider_limits import Limits, limits_of
from portal.connections.provider_values import ProviderValues, SendThrough
from portal.connections.values import ConnectionValues, Method
from tests.connections.making import smtp_values

BY_SMTP = ProviderValues(send_through=SendThrough.SMTP)


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        (smtp_values(), Limits(4, None)),
        (smtp_values(max_connections=7, messages_per_minute=90), Limits(7, 90)),
        (ConnectionValues(name="M", method=Method.MICROSOFT), Limits(4, None)),
        (ConnectionValues(name="M", method=Method.MICROSOFT, microsoft=BY_SMTP), Limits(3, 30)),
        (ConnectionValues(name="A", method=Method.MICROSOFT_APP, microsoft_app=BY_SMTP), Limits(3, 30)),
        (ConnectionValues(name="A", method=Method.MICROSOFT_APP, microsoft=BY_SMTP), Limits(4, None)),
        (
            ConnectionValues(name="M", method=Method.MICROSOFT, microsoft=BY_SMTP, messages_per_minute=20),
            Limits(3, 20),
        ),
        (ConnectionValues(name="G", method=Method.GOOGLE, google=BY_SMTP), Limits(4, None)),
    ],
)
def test_microsoft_by_smtp_is_handed_thirty_a_minute_over_three_connections(
    values: ConnectionValues, limits: Limits
) -> None:
    found = limits_of(values)

    assert found == limits
