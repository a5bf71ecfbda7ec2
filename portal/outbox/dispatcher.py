"""The dispatcher: finds what is due on each route, chooses the way out, claims, and fills the senders' pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from portal.outbox import claim, outgrown, pacing, pauses, pausing, slices
from portal.outbox.claim import Claimed
from portal.outbox.contents import envelope_sender
from portal.outbox.leases import clock, ticks
from portal.outbox.ledger import Ledger
from portal.outbox.pauses import READY, WayOutState
from portal.outbox.pausing import FIRST_PAUSE
from portal.outbox.pool import Pool, Suspects
from portal.outbox.prepared import Priority, WayOut, WaysOut

States = dict[UUID, WayOutState]


class Dispatcher:
    """Used by one thread, which also closes the pools."""

    def __init__(self, ledger: Ledger, *, on_low: Callable[[], None] = lambda: None) -> None:
        self.pools: dict[UUID, Pool] = {}
        self._ledger = ledger
        self._settings = ledger.settings
        self._on_low = on_low
        self._suspects = Suspects()
        self._known: dict[str, WaysOut] = {}
        self._chosen: dict[str, UUID] = {}  # the connection that each route led to last

    def dispatch(self, *, asks_anew: bool = True) -> None:
        """Fill the pools with what is due now; `asks_anew`: the ways out may have changed since last time."""
        if asks_anew:
            self._known.clear()
        now = self._settings.clock()
        with self._ledger.engine.connect() as connection:
            waiting = claim.waiting_routes(connection)
            switched_off = slices.switched_off_routes(connection)
            states = pauses.load(connection)
        in_pools = (pool.routes() for pool in self.pools.values())
        routes = sorted({*waiting, *switched_off}.union(*in_pools))
        self._settings.chance.shuffle(routes)  # routes that share a way out take turns in filling its pool
        for route in routes:
            ways_out = self._ways_out(route)
            self._hold_or_release(route, ways_out, is_waiting=route in waiting, is_held=route in switched_off)
            self._serve(route, ways_out, states, now)

    def share_connections(self) -> None:
        """Renew this worker's part of each way out's connections, and drop pools without work."""
        for connection_id, pool in list(self.pools.items()):
            is_needed = bool(pool.count() or pool.crew.senders or pool.is_busy)
            self._share(pool, wanted=self._settings.senders if is_needed else 0)
            if not is_needed:
                del self.pools[connection_id]

    def wind_down(self) -> None:
        """Give back what waits, and each way out's connections once its senders have nothing in hand.

        Nothing is taken from the pools until `go_on`. To be called every few seconds, for the pools at work.
        """
        for pool in self.pools.values():
            pool.suspend(self)
        for connection_id, pool in list(self.pools.items()):
            self.withdraw(pool)
            is_busy = pool.is_busy
            if is_busy or pool.slots:
                self._share(pool, wanted=self._settings.senders if is_busy else 0)
            if not is_busy and not pool.crew.senders:
                del self.pools[connection_id]

    def go_on(self) -> None:
        """After `wind_down`: the pools may be filled again."""
        for pool in self.pools.values():
            pool.go_on(self)

    def withdraw(self, pool: Pool, *, route: str | None = None, keep_tests: bool = False) -> None:
        """Give back what waits in the pool."""
        withdrawn = pool.withdraw(route=route, keep_tests=keep_tests)
        self._ledger.leases.drop(withdrawn)  # where they cannot be released, their leases run out
        if withdrawn:
            with self._ledger.write() as connection:
                claim.release(connection, withdrawn, owner=self._ledger.owner)

    def give_back_connections(self) -> None:
        """This worker ends."""
        for pool in self.pools.values():
            self._share(pool, wanted=0)

    def _ways_out(self, route: str) -> WaysOut:
        """Asked once between commits: a busy worker looks far more often than anybody changes settings."""
        if route not in self._known:
            self._known[route] = self._ledger.surroundings.ways_out(route)
        return self._known[route]

    def _hold_or_release(self, route: str, ways_out: WaysOut, *, is_waiting: bool, is_held: bool) -> None:
        if ways_out.is_switched_off and is_waiting:
            with self._ledger.write() as connection:
                slices.hold_switched_off(connection, route)
        elif not ways_out.is_switched_off and is_held:
            with self._ledger.write() as connection:
                slices.release_switched_on(connection, route)

    def _serve(self, route: str, ways_out: WaysOut, states: States, now: datetime) -> None:
        if not ways_out.ways:
            self._leave(route)
            self._fail_tests(route, ways_out, now)
            return
        way_out = self._choose(ways_out.ways, states)
        pool = self._pool(way_out, route)
        if self._chosen.get(route) != way_out.connection_id:
            self._leave(route)
            with self._ledger.write() as connection:
                outgrown.let_go(connection, route, now=now)
            self._chosen[route] = way_out.connection_id
        with self._ledger.engine.connect() as connection:
            due = claim.due_priorities(connection, route, now)
        if not ways_out.is_switched_off:
            self._probe_paused(route, ways_out.ways, states, due, now)
        state = states.get(way_out.connection_id, READY)
        self._heed(pool, state)
        if ways_out.is_switched_off or state.pause:
            self.withdraw(pool, route=None if state.pause else route, keep_tests=True)
            due = [priority for priority in due if priority is Priority.ONCE]
        for priority in due:
            self._fill(route, priority, pool, state, ways=ways_out.ways, now=now)

    def _choose(self, ways: Sequence[WayOut], states: States) -> WayOut:
        """The first that is not paused; a later one only while those before it are."""
        ready = (way for way in ways if states.get(way.connection_id, READY).pause is None)
        return next(ready, ways[0])

    def _leave(self, route: str) -> None:
        """What was claimed for the way out that the route led to before goes back."""
        before = self._chosen.pop(route, None)
        if before in self.pools:
            self.withdraw(self.pools[before], route=route)

    def _pool(self, way_out: WayOut, route: str) -> Pool:
        """The pool of a way out as a route sees it: the first choice of one may stand in on others."""
        pool = self.pools.get(way_out.connection_id)
        others = pool.way_out.stands_in_for - {route} if pool else frozenset[str]()
        routes = others | {route} if way_out.stands_in_on(route) else others
        seen = replace(way_out, is_fallback=False, stands_in_for=routes)
        if pool is None:
            pool = self.pools[way_out.connection_id] = Pool(seen, suspects=self._suspects, on_low=self._on_low)
        elif pool.way_out != seen:
            pool.way_out = seen
            pool.start_slowly()
        elif pool.way_out.stands_in_for != seen.stands_in_for:
            pool.way_out = seen
        return pool

    def _heed(self, pool: Pool, state: WayOutState) -> None:
        """Tell the pool what others found out about its way out."""
        pool.refused = frozenset(state.refused)
        if state.pause or state.refused or state.failures:
            pool.is_doubted = True

    def _probe_paused(
        self, route: str, ways: Sequence[WayOut], states: States, due: Sequence[Priority], now: datetime
    ) -> None:
        """Each way out of the route that is paused gets its probe in time, also while a later way serves."""
        priority = next((priority for priority in due if priority is not Priority.ONCE), None)
        for way_out in ways:
            pause = states.get(way_out.connection_id, READY).pause
            if priority is None or pause is None or pause.next_probe_at > now:
                continue
            pool = self._pool(way_out, route)
            pool.is_doubted = True
            if self._has_slot(pool):
                self._probe(route, ways, pool, priority, now)

    def _probe(self, route: str, ways: Sequence[WayOut], pool: Pool, priority: Priority, now: datetime) -> None:
        with self._ledger.write() as connection:
            if not pausing.take_probe(connection, pool.way_out.connection_id, now=now):
                return
        pool.start_slowly()
        claimed = self._claim(route, priority, 1, now)
        with self._leaving_to_leases(claimed):
            claimed = self._pass_on(claimed, pool.way_out, ways, now)
        if claimed:
            pool.put(claimed, probe=True)

    def _fill(
        self, route: str, priority: Priority, pool: Pool, state: WayOutState, *, ways: Sequence[WayOut], now: datetime
    ) -> None:
        capacity = self._capacity(pool.way_out)
        free = capacity - pool.count(priority)
        if free * 2 < capacity or pool.is_suspended or not self._has_slot(pool):
            return
        claimed = self._claim(route, priority, free, now)
        with self._leaving_to_leases(claimed):
            if state.refused:
                claimed = self._sift(claimed, pool.way_out, state, now)
            claimed = self._pass_on(claimed, pool.way_out, ways, now)
        if claimed:
            pool.put(claimed)

    @contextmanager
    def _leaving_to_leases(self, claimed: Sequence[Claimed]) -> Iterator[None]:
        """What an error keeps from every pool is nobody's: it comes again when its lease has run out."""
        try:
            yield
        except BaseException:
            self._ledger.leases.drop([one.id for one in claimed])
            raise

    def _pass_on(self, claimed: list[Claimed], way_out: WayOut, ways: Sequence[WayOut], now: datetime) -> list[Claimed]:
        """What a stand-in cannot carry goes to a way out that perhaps can, or waits for one."""
        if not claimed or not way_out.stands_in_on(claimed[0].route):
            return claimed
        with self._ledger.engine.connect() as connection:
            found = outgrown.sort_out(connection, claimed, way_out, ways, now=now)
        elsewhere: list[tuple[Pool, Claimed]] = []
        for one, other in found.elsewhere:
            pool = self._pool(other, one.route)
            if self._has_slot(pool):
                elsewhere.append((pool, one))
            else:
                found.waiting.setdefault(now + FIRST_PAUSE, []).append(one.id)
        if found.waiting:
            with self._ledger.write() as connection:
                for until, ids in found.waiting.items():
                    slices.put_off(connection, ids, owner=self._ledger.owner, until=until)
            self._ledger.leases.drop([one for ids in found.waiting.values() for one in ids])
        for pool, one in elsewhere:  # once nothing can fail any more
            pool.put([one])
        return found.here

    def _claim(self, route: str, priority: Priority, limit: int, now: datetime) -> list[Claimed]:
        since = ticks()
        with self._ledger.write() as connection:
            claimed = claim.claim(
                connection,
                route=route,
                priority=priority,
                limit=limit,
                owner=self._ledger.owner,
                now=now,
                lease=self._settings.lease,
            )
        self._ledger.leases.take([one.id for one in claimed], since=since)
        return claimed

    def _sift(self, claimed: list[Claimed], way_out: WayOut, state: WayOutState, now: datetime) -> list[Claimed]:
        """Put off what comes from a sender that is refused here; when its probe is due, one message may go."""
        good: list[Claimed] = []
        refused: dict[str, list[Claimed]] = {}
        for one in claimed:
            sender = envelope_sender(one, way_out)
            is_good = sender not in state.refused or one.priority == Priority.ONCE
            (good if is_good else refused.setdefault(sender, [])).append(one)
        put_off: list[int] = []
        with self._ledger.write() as connection:
            if refused:
                pausing.lock(connection, way_out.connection_id)
            for sender, ones in refused.items():
                if pausing.take_probe(connection, way_out.connection_id, sender=sender, now=now):
                    good.append(ones.pop(0))
                until = pausing.refused_until(connection, way_out.connection_id, sender)
                if until is None:  # it was let through meanwhile
                    good += ones
                    continue
                ids = [one.id for one in ones]
                slices.put_off(connection, ids, owner=self._ledger.owner, until=until)
                put_off += ids
        self._ledger.leases.drop(put_off)
        return good

    def _capacity(self, way_out: WayOut) -> int:
        """A slow way out holds little, so that a changed default soon acts and a crash costs little."""
        if way_out.messages_per_minute is None:
            return self._settings.claim_size
        return max(4, min(self._settings.claim_size, way_out.messages_per_minute // 6))

    def _has_slot(self, pool: Pool) -> bool:
        if pool.slots == 0:
            self._share(pool, wanted=self._settings.senders)
        return pool.slots > 0

    def _share(self, pool: Pool, *, wanted: int) -> None:
        way_out = pool.way_out
        now = self._settings.clock()
        with self._ledger.write() as connection:
            budget = pacing.open_budget(connection, way_out.connection_id)
            pool.slots = pacing.share(
                budget,
                owner=self._ledger.owner,
                wanted=wanted,
                ceiling=max(1, way_out.max_connections),
                at=clock(connection, now).timestamp(),
            )
            pacing.store_budget(connection, way_out.connection_id, budget)

    def _fail_tests(self, route: str, ways_out: WaysOut, now: datetime) -> None:
        """A test message waits for nothing: without a way out it has failed."""
        with self._ledger.engine.connect() as connection:
            due = claim.due_priorities(connection, route, now)
        if Priority.ONCE in due:
            claimed = self._claim(route, Priority.ONCE, self._settings.slice_size, now)
            with self._leaving_to_leases(claimed):
                self._ledger.fail_untried(claimed, ways_out)
