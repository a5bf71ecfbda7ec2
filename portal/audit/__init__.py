"""Who changed what, and when: an append-only record, written in the transaction of the change.

Offers `record`, `Actor`, `CHANGED`, `actor_in_words` and `starting_actor`; its page, exports, the job that seals
entries and the verification of the chain stand in modules of their own. Never holds a secret's value; of an entry
nothing but its seal is ever added.
"""

from __future__ import annotations

from portal.audit.known_words import actor_in_words, starting_actor
from portal.audit.recording import CHANGED, COMMAND_LINE, NO_PERSONS, Changed, record
from portal.web.access import Actor

__all__ = ["CHANGED", "COMMAND_LINE", "NO_PERSONS", "Actor", "Changed", "actor_in_words", "record", "starting_actor"]
