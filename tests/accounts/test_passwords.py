from __future__ import annotations

import statistics
import time

import pytest

from portal.accounts.passwords import Bound, TooBusy, hash_password, needs_rehash, verify_password

PASSWORD = "correct horse battery staple 9"


def test_a_password_is_known_by_its_hash_and_no_other_is() -> None:
    hashed = hash_password(PASSWORD)

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify_password(hashed, PASSWORD)
    assert not verify_password(hashed, PASSWORD + " ")


def test_the_same_letters_typed_on_another_keyboard_are_the_same_password() -> None:
    composed, decomposed = "Übermut tut selten gut", "U\u0308bermut tut selten gut"

    assert verify_password(hash_password(composed), decomposed)


def test_without_an_account_no_password_fits_after_the_same_work() -> None:
    hashed = hash_password(PASSWORD)
    known, unknown = [], []

    for _ in range(7):
        for times, stored in ((known, hashed), (unknown, None)):
            began = time.perf_counter()
            assert not verify_password(stored, "wrong")
            times.append(time.perf_counter() - began)

    assert 0.5 < statistics.median(known) / statistics.median(unknown) < 2


def test_a_password_beyond_one_kilobyte_never_fits_and_is_never_hashed() -> None:
    long_one = "x" * 1025

    assert not verify_password(hash_password(""), long_one)
    with pytest.raises(ValueError, match="longer than 1 KB"):
        hash_password(long_one)


@pytest.mark.parametrize("stored", ["", "nonsense", "$argon2id$v=19$m=19456,t=2,p=1$broken"])
def test_a_damaged_hash_lets_nobody_in(stored: str) -> None:
    assert not verify_password(stored, "")


def test_only_hashes_with_other_parameters_are_made_anew() -> None:
    outdated = "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$0Z5dhVh8tSh1QkY3yT1p2dZ0hZ4cO0bTt9V3h2J0h1E"

    assert needs_rehash(outdated)
    assert not needs_rehash(hash_password(PASSWORD))


def test_who_finds_the_queue_full_is_sent_away_at_once() -> None:
    bound = Bound(running=1, waiting=0, patience_seconds=60)

    with bound.slot(), pytest.raises(TooBusy), bound.slot():
        pass

    with bound.slot():
        pass


def test_who_waits_too_long_is_sent_away() -> None:
    bound = Bound(running=1, waiting=1, patience_seconds=0.01)

    with bound.slot(), pytest.raises(TooBusy), bound.slot():
        pass


def test_those_who_are_sent_away_together_do_not_come_back_together() -> None:
    assert {TooBusy().retry_after_seconds for _ in range(500)} == {2, 3, 4, 5, 6, 7, 8}
