"""The sections of the settings file, in the order in which they are applied: later ones build on earlier ones.

What people decided of senders comes after the servers and rules that it forbids: what stood before such a decision
still stands after it, and so it does where the export of one portal is applied to another. A refusal that the same file
takes back forbids them nothing any more: see `sender_section.still_decided`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portal.audit import Actor
    from portal.secret_box import SecretBox
    from portal.settings_file import Section


def sections(box: SecretBox, public_url: str) -> list[Section[Actor]]:
    """Each of the room that owns it."""
    from portal import connections, email_settings
    from portal.accounts import recovery_section
    from portal.message_templates.kinds import KINDS
    from portal.servers import routing_section, sender_section
    from portal.servers import settings_section as servers
    from portal.servers.kinds import OF_SERVERS

    return [
        email_settings.section,
        connections.make_section(box),
        servers.section,
        routing_section.make_section([*(kind for kind, _title in OF_SERVERS), *KINDS]),
        sender_section.make_section(box),
        recovery_section.make_section(public_url),
    ]
