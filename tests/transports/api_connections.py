"""What the tests of the API ways out share: tokens that are counted, and a composed message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from portal.mail.addresses import Mailbox
from portal.mail.message import Attachment, complete, compose
from portal.transports import OutgoingMessage

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
FROM = "portal@contoso.test"


class Tokens:
    """An `AccessToken` that gives the first of its tokens, and the next each time that one is refused."""

    def __init__(self, *tokens: str) -> None:
        self.asked: list[bool] = []  # True where a new one was asked for
        self._tokens = list(tokens)

    def __call__(self, renew: bool) -> str:
        self.asked.append(renew)
        if renew and len(self._tokens) > 1:
            del self._tokens[0]
        return self._tokens[0]


def composed(
    *rcpt_to: str,
    to: Sequence[str] = ("ada@contoso.test",),
    cc: Sequence[str] = (),
    attachments: Sequence[Attachment] = (),
    from_address: str = FROM,
) -> OutgoingMessage:
    """A message as the portal builds it; `rcpt_to` is whom To and Cc name where it is left out."""
    content = compose(
        to=[Mailbox(address) for address in to],
        cc=[Mailbox(address) for address in cc],
        subject="Grüße",
        text="Good morning, Zoë.",
        message_id="<1@contoso.test>",
        date=NOW,
        auto_submitted=True,
        attachments=attachments,
    )
    content = complete(content, from_mailbox=Mailbox(from_address, "Contoso Portal"))
    return OutgoingMessage("bounces@contoso.test", rcpt_to or (*to, *cc), content)
