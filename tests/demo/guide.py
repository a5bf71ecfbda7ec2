"""What the demonstration tells whoever started it: where to go, who to be, what to click."""

from __future__ import annotations

from pathlib import Path

from tests.demo.sample_data import ADMINISTRATOR, APPLICATION, GOOGLE, MAIL_SERVER, MICROSOFT, PEOPLE
from tests.demo.stand_ins import PORTAL, SMTP_ACCOUNT, StandIns

_TEXT = """
The demonstration is at {url}. Nothing leaves this machine; Ctrl-C ends it all.

Sign in as
{people}
each with the password  {password}

Try
  Connections
    "{mail_server}" is the default and works: open it and press Check.
    "{application}" works too: it sends as {portal} without asking anybody.
    "{google}" is a draft with everything filled in: open it, press Connect, choose {portal}, press Allow.
    "{microsoft}" is one as well: Connect, choose {portal}, press Accept.
  Test messages
    Send one by each connection, to any address. What the stand-ins take is shown here.
  Forgotten password
    Sign out, ask for a new password for {someone}, and open the link that is shown here.
  A connection of your own
    A mail server that takes everything: host 127.0.0.1, port {smtp_port}, STARTTLS,
    user name {username}, password {smtp_password}

The stand-ins forget everything when they end: connect {google} and {microsoft} again after the next start.
To begin anew, remove {folder}.
"""


def text(*, url: str, password: str, stand_ins: StandIns, folder: Path) -> str:
    """The whole text, for a terminal."""
    roles = {ADMINISTRATOR: "administrator"} | {email: role for email, (_, role) in PEOPLE.items()}
    return _TEXT.format(
        url=url,
        people="\n".join(f"  {email:<20} {role}" for email, role in roles.items()),
        password=password,
        mail_server=MAIL_SERVER,
        application=APPLICATION,
        google=GOOGLE,
        microsoft=MICROSOFT,
        portal=PORTAL,
        someone=next(iter(PEOPLE)),
        smtp_port=stand_ins.smtp.port,
        username=SMTP_ACCOUNT[0],
        smtp_password=SMTP_ACCOUNT[1],
        folder=folder,
    )
