"""People of a furnished portal besides those who sign in: active, invited, disabled, and lists to invite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import bulk_invitations, invitations, people, sessions
from portal.accounts.factor_models import Passkey
from portal.accounts.import_lines import read_lines
from portal.accounts.import_models import ImportLine, ImportRun
from portal.accounts.models import Invitation, User, UserAddress, UserSession
from portal.accounts.recovery_models import SecurityAnswer
from portal.accounts.tokens import new_token, token_hash
from portal.transaction import unit_of_work

_LIST = (
    "address,name,role\nann@contoso.test,Ann,\nbill@contoso.test,Bill,helpdesk\nnobody,Nobody,\ncleo@contoso.test,,king"
)


def furnish_people(app: Flask, *, administrator: UUID, password_hash: str) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of what there is now, and the secrets by what they are."""
    actor, now = audit.Actor(administrator, "Admin Ada", "127.0.0.1"), datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        ids = {}
        for name in ("person", "invited", "disabled", "late"):
            new = people.prepare_invited(email=f"{name}@people.test", role="user", name=name.capitalize())
            invited = invitations.add_and_invite(
                session, new, actor=actor, mail=None, link_for=lambda token: token, now=now
            )
            ids[name] = str(invited.user_id)
            tokens = {"invited": "invitation_token", "late": "late_invitation_token"}
            ids |= {tokens[name]: invited.link} if name in tokens else {}
        late = update(Invitation).where(Invitation.user_id == UUID(ids["late"]))
        session.execute(late.values(expires_at=now - timedelta(minutes=1)))
        has_password = update(User).where(User.email.in_(("person@people.test", "disabled@people.test")))
        session.execute(has_password.values(password_hash=password_hash, password_changed_at=now))
        session.execute(update(User).where(User.email == "disabled@people.test").values(is_disabled=True))
        session.add(_passkey(UUID(ids["person"]), now))
        session.add(_answer(UUID(ids["person"]), now))
        for state in ("draft", "confirmed", "done"):
            ids[f"{state}_list"] = str(_list(session, state, actor=actor, now=now))
        ids |= _addresses(session, administrator, now) | _session(session, administrator, now)
    secrets = {
        "the token of an invitation": ids["invitation_token"],
        "the token of an invitation that has expired": ids["late_invitation_token"],
        "the token of a link that validates an address": ids["validation_token"],
        "the token of a link that is too old": ids["late_validation_token"],
        "the token of a link for an address of somebody else": ids["taken_validation_token"],
    }
    return ids, secrets


def _addresses(session: Session, user_id: UUID, now: datetime) -> dict[str, str]:
    """One that is validated, and three that wait: of one the link is too old, and one is somebody else's by now."""
    validated, waiting, token, late, taken = uuid4(), uuid4(), new_token(), new_token(), new_token()
    values = {"address": "first.other@people.test", "address_key": "first.other@people.test", "validated_at": now}
    session.add(UserAddress(id=validated, user_id=user_id, added_at=now, **values))
    values = {"address": "waiting@people.test", "address_key": "waiting@people.test", "becomes_primary": True}
    link = {"token_hash": token_hash(token), "token_expires_at": now + timedelta(days=1)}
    session.add(UserAddress(id=waiting, user_id=user_id, added_at=now, **values, **link))
    for other, its, left in (("late@people.test", late, -1), ("person@people.test", taken, 1)):
        values = {"address": other, "address_key": other, "added_at": now}
        link = {"token_hash": token_hash(its), "token_expires_at": now + timedelta(days=left)}
        session.add(UserAddress(id=uuid4(), user_id=user_id, **values, **link))
    tokens = {"validation_token": token, "late_validation_token": late, "taken_validation_token": taken}
    return {"address": str(validated), "waiting_address": str(waiting), **tokens}


def _session(session: Session, user_id: UUID, now: datetime) -> dict[str, str]:
    """Another browser that the administrator is signed in with."""
    sessions.start(session, user_id, address="192.0.2.7", agent="a furnished browser", now=now)
    its = select(UserSession.id).where(UserSession.agent == "a furnished browser")
    return {"session": str(session.scalars(its).one())}


def _answer(user_id: UUID, now: datetime) -> SecurityAnswer:
    values = {"place": 1, "question": "Which pet was it?", "answer_hash": "no answer opens this", "answered_at": now}
    return SecurityAnswer(id=uuid4(), user_id=user_id, **values)


def _passkey(user_id: UUID, now: datetime) -> Passkey:
    return Passkey(
        id=uuid4(),
        user_id=user_id,
        credential_id=b"a person's credential",
        public_key=b"a person's key",
        sign_count=0,
        name="Phone",
        created_at=now,
    )


def _list(session: Session, state: str, *, actor: audit.Actor, now: datetime) -> UUID:
    run_id = bulk_invitations.keep_draft(session, read_lines(_LIST), role="user", language="en", actor=actor, now=now)
    if state == "done":
        waiting = update(ImportLine).where(ImportLine.run_id == run_id, ImportLine.state == "waiting")
        session.execute(waiting.values(state="invited"))
    ended = {"finished_at": now} if state == "done" else {}
    session.execute(update(ImportRun).where(ImportRun.id == run_id).values(state=state, **ended))
    return run_id
