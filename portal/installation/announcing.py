"""What every page shows while mail is held or redirected."""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal.config import Config
from portal.installation.holding import judge
from portal.web.announcements import Banner, MailStatus
from portal.wording import N_

PATH = "/installation"


def banners(session: Session, config: Config) -> tuple[Banner, ...]:
    """For administrators, who alone can release it."""
    standing = judge(session, config)
    if standing.is_held:
        held = N_("All sending is held: this installation looks like a copy, or was restored. Nothing leaves yet.")
        return (Banner("bad", held, PATH, N_("Release it")),)
    if standing.redirect_to:
        said = N_("All mail goes to %(address)s instead of its recipients.", address=standing.redirect_to)
        return (Banner("warn", said, PATH, N_("End this")),)
    return ()


def mail_status(session: Session, config: Config) -> MailStatus | None:
    """The pill in the top bar, None where nothing is held or redirected."""
    standing = judge(session, config)
    if standing.is_held:
        return MailStatus("bad", N_("Mail is held"), PATH)
    if standing.redirect_to:
        return MailStatus("warn", N_("Mail is redirected"), PATH)
    return None
