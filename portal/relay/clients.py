"""Who a client is: by its network address before it says a word, then by its log-in. Asks the database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session as DatabaseSession

from portal.relay.sign_in import Digest, Proof
from portal.relay.talk import Client
from portal.secret_box import SecretBox
from portal.servers import callers
from portal.servers.callers import Caller
from portal.servers.inheritance import load_settings
from portal.servers.remembering import remembered
from portal.servers.values import DEFAULT_LARGEST_MESSAGE, DEFAULT_MOST_RECIPIENTS

_NO_PASSWORD = "x" * 20  # the same work for a name that is unknown


class Clients:
    """For several threads."""

    def __init__(self, engine: Engine, *, box: SecretBox) -> None:
        self._engine = engine
        self._box = box

    def know(self, address: str, *, now: datetime) -> Client:
        """What is known of whoever connects from there."""
        with DatabaseSession(self._engine) as session:
            caller = callers.caller_of_network(session, address, now=now)
            return _client(session, address, caller)

    def prove(self, address: str, proof: Proof, *, now: datetime) -> Client | None:
        """The client that signs in, None where the proof is wrong."""
        with DatabaseSession(self._engine) as session:
            if isinstance(proof, Digest):
                caller = self._by_digest(session, proof)
            else:
                caller = callers.caller_of_login(session, proof.username, proof.password, now=now)
            return _client(session, address, caller) if caller is not None else None

    def _by_digest(self, session: DatabaseSession, proof: Digest) -> Caller | None:
        found = callers.login_for_cram_md5(session, proof.username, box=self._box)
        login_id, password = found or (None, _NO_PASSWORD)
        is_right = proof.is_made_with(password)
        return callers.caller_of_login_id(session, login_id) if login_id is not None and is_right else None


@remembered
def still(session: DatabaseSession, caller: Caller, address: str) -> Caller | None:
    """The caller with the name and lists of now; None where the client may not submit as that server any more."""
    if caller.means == "network":
        found = callers.caller_of_network(session, address, now=datetime.now(UTC))
    else:
        found = callers.caller_of_login_id(session, caller.key_id) if caller.key_id is not None else None
    if found is None or (found.server_id, found.proved_by) != (caller.server_id, caller.proved_by):
        return None
    return found


def _client(session: DatabaseSession, address: str, caller: Caller | None) -> Client:
    settings = load_settings(session, caller.server_id) if caller else None
    return Client(
        address=address,
        caller=caller,
        is_legacy=callers.is_legacy_client(session, address),
        allows_cram_md5=callers.any_allows_cram_md5(session),
        largest_message=settings.largest_message if settings else DEFAULT_LARGEST_MESSAGE,
        most_recipients=settings.most_recipients if settings else DEFAULT_MOST_RECIPIENTS,
    )
