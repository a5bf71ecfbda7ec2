"""Sealing: what is sealed opens only with its key and in its place; what cannot be read is a value, not a crash."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from portal.secret_box import SecretBox, Unreadable, load_or_make_key

KEY, OTHER_KEY = "a" * 32, "b" * 32


def test_what_was_sealed_opens() -> None:
    box = SecretBox([KEY])

    sealed = box.seal("pässwörd 🔑", "connection_secret.sealed:1")

    assert box.open(sealed, "connection_secret.sealed:1") == "pässwörd 🔑"
    assert "pässwörd" not in sealed


def test_a_sealed_value_moved_to_another_row_does_not_open() -> None:
    box = SecretBox([KEY])
    sealed = box.seal("secret", "connection_secret.sealed:1")

    moved = box.open(sealed, "connection_secret.sealed:2")

    assert moved == Unreadable("damaged, or moved from another place")


def test_another_key_reads_nothing_and_says_so() -> None:
    sealed = SecretBox([KEY]).seal("secret", "a:1")

    opened = SecretBox([OTHER_KEY]).open(sealed, "a:1")

    assert opened == Unreadable("sealed with a key that this portal does not have")


def test_the_first_key_seals_and_every_key_opens() -> None:
    old = SecretBox([KEY]).seal("secret", "a:1")
    box = SecretBox([OTHER_KEY, KEY])

    assert box.open(old, "a:1") == "secret"
    assert isinstance(SecretBox([KEY]).open(box.seal("new", "a:1"), "a:1"), Unreadable)


@pytest.mark.parametrize("damaged", ["", "v1", "v1.x.y.z", "v2.a.b.c", "v1.%s.AAAA.****", "v1.%s.!.!", "ключ"])
def test_damage_is_an_answer_and_no_exception(damaged: str) -> None:
    box = SecretBox([KEY])

    assert isinstance(box.open(damaged.replace("%s", box.key_id), "a:1"), Unreadable)


def test_the_generated_key_stays_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = load_or_make_key(tmp_path)
    second = load_or_make_key(tmp_path)

    assert first == second
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_make_key(tmp_path)
    (tmp_path / "secret.key").chmod(0o644)

    with pytest.raises(PermissionError, match="can be read by others"):
        load_or_make_key(tmp_path)


def test_a_box_does_not_show_its_keys() -> None:
    assert KEY not in repr(SecretBox([KEY]))
