"""What waits for the acceptor's thread: bounded in messages and octets, taken in groups."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from portal.outbox.accept_errors import AcceptError, Busy, Cause, NotStored
from portal.outbox.accept_group import Accepted, Submission

GROUP_MESSAGES = 256
GROUP_OCTETS = 4 * 1024 * 1024
MOST_WAITING_OCTETS = 64 * 1024 * 1024


def take_group(queue: deque[Submission]) -> list[Submission]:
    """Out of the queue what one transaction is to hold; at least one, where there is one."""
    group: list[Submission] = []
    messages = octets = 0
    while queue:
        messages += len(queue[0].messages)
        octets += queue[0].octets
        if group and (messages > GROUP_MESSAGES or octets > GROUP_OCTETS):
            break
        group.append(queue.popleft())
    return group


class WaitingSubmissions:
    """For many threads that put and one that takes."""

    def __init__(self, most_messages: int) -> None:
        self._most_messages = most_messages
        self._changed = threading.Condition()
        self._queue: deque[Submission] = deque()
        self._messages = 0  # in the queue
        self._octets = 0
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Nothing more is taken in; what is there can still be taken out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def check_room(self, messages: int, octets: int) -> None:
        """Raises AcceptError where so much would not be taken in now."""
        if self._is_closed:
            raise NotStored(Cause.STOPPING)
        is_full = self._messages + messages > self._most_messages or self._octets + octets > MOST_WAITING_OCTETS
        if self._queue and is_full:
            raise Busy

    def put(self, submissions: Sequence[Submission]) -> list[Future[tuple[Accepted, ...]] | AcceptError]:
        """Take in those that have room; the writer is woken once for all."""
        with self._changed:
            taken = [self._put(submission) for submission in submissions]
            self._changed.notify()
        return taken

    def next_group(self) -> list[Submission]:
        """Whatever waits, up to the size of a group; empty when all is done and closed."""
        with self._changed:
            while not self._queue and not self._is_closed:
                self._changed.wait()
            group = take_group(self._queue)
            self._messages -= sum(len(one.messages) for one in group)
            self._octets -= sum(one.octets for one in group)
            return group

    def _put(self, submission: Submission) -> Future[tuple[Accepted, ...]] | AcceptError:
        try:
            self.check_room(len(submission.messages), submission.octets)
        except AcceptError as error:
            return error
        self._queue.append(submission)
        self._messages += len(submission.messages)
        self._octets += submission.octets
        return submission.future
