"""The one door for mail: decides whether, as what and by which route a message leaves, and builds its bytes.

Three forms: one of the portal's own kinds with values (`prepare`, `prepare_test`), a composed mail
(`prepare_composed`), ready bytes with an envelope (`prepare_submitted`). Each writes nothing: its result is stored by
`outbox.add` in the transaction of its cause, or handed to the process's acceptor where it is its own cause. Whatever
its form, a message is `admit`ted last; what is not taken raises NotAccepted.
"""

from __future__ import annotations

from portal.mail_service.admission import NotAccepted, admit
from portal.mail_service.composed import Composed, prepare_composed
from portal.mail_service.own_kinds import prepare, prepare_test
from portal.mail_service.submitted import prepare_submitted

__all__ = [
    "Composed",
    "NotAccepted",
    "admit",
    "prepare",
    "prepare_composed",
    "prepare_submitted",
    "prepare_test",
]
