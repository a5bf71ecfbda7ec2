from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from flask import Flask, render_template_string

from portal.web.translation import (
    machine_time,
    readable_day,
    readable_number,
    readable_seconds,
    readable_time,
    translate,
)
from portal.wording import N_

MOMENT = datetime(2026, 11, 21, 4, 52, 11, tzinfo=timezone(timedelta(hours=1)))


def test_a_sentence_is_shown_with_its_values(site: Flask) -> None:
    with site.test_request_context():
        assert translate(N_("The server %(host)s did not answer.", host="mx")) == "The server mx did not answer."
        assert translate(N_("100 %% sure")) == "100 % sure"
        assert translate("100 % plain") == "100 % plain"


def test_the_filter_escapes_what_others_wrote(site: Flask) -> None:
    with site.test_request_context():
        shown = render_template_string("{{ text|t }}", text=N_("It said %(reply)s", reply="<script>"))

    assert shown == "It said &lt;script&gt;"


def test_moments_are_shown_in_utc_and_say_so(site: Flask) -> None:
    with site.test_request_context():
        assert readable_time(MOMENT) == "21 Nov 2026, 03:52 UTC"
        assert readable_day(MOMENT) == "21 Nov 2026"
        assert machine_time(MOMENT) == "2026-11-21T03:52:11Z"
        assert machine_time(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"


def test_moments_are_shown_in_the_readers_language(site: Flask) -> None:
    with site.test_request_context(headers={"Accept-Language": "de"}):
        assert readable_time(MOMENT) == "21. Nov. 2026, 03:52 UTC"
        assert readable_day(MOMENT) == "21. Nov. 2026"


def test_numbers_are_shown_as_the_reader_writes_them(site: Flask) -> None:
    with site.test_request_context():
        assert readable_number(37_748_736) == "37,748,736"
    with site.test_request_context(headers={"Accept-Language": "de"}):
        assert readable_number(37_748_736) == "37.748.736"


def test_seconds_have_one_decimal(site: Flask) -> None:
    with site.test_request_context():
        assert readable_seconds(timedelta(milliseconds=40)) == "0.0"
        assert readable_seconds(timedelta(seconds=1, milliseconds=460)) == "1.5"
    with site.test_request_context(headers={"Accept-Language": "de"}):
        assert readable_seconds(timedelta(seconds=1, milliseconds=460)) == "1,5"
