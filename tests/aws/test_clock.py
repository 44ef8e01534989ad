from __future__ import annotations

import datetime
import time
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.aws.clock import Clock, amz_date, is_expired, is_time_refusal, parse_http_date, parse_timestamp
from flyweight.errors import EmbedderRefusedError

MOMENTS = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))


@settings(deadline=None)
@given(MOMENTS, OFFSETS, st.sampled_from(["T", " "]), st.sampled_from(["auto", "seconds", "milliseconds"]))
def test_timestamps_with_an_offset(moment: datetime.datetime, zone: datetime.tzinfo, gap: str, precision: str) -> None:
    moment = moment.replace(tzinfo=zone)
    text = moment.isoformat(gap, precision)
    assert parse_timestamp(text) == pytest.approx(datetime.datetime.fromisoformat(text).timestamp(), abs=1e-4)


@settings(deadline=None)
@given(MOMENTS, st.sampled_from(["%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%SUTC", "%Y-%m-%dt%H:%M:%S"]))
def test_timestamps_of_universal_time(moment: datetime.datetime, form: str) -> None:
    moment = moment.replace(microsecond=0, tzinfo=datetime.UTC)
    year = f"{moment.year:04}"  # strftime does not fill it up everywhere
    assert parse_timestamp(moment.strftime(form.replace("%Y", year))) == moment.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026",
        "2026-01-31",
        "2026-13-01T00:00:00Z",
        "2026-01-01T00:00:00+1",
        "1767225600",
        "²026-01-01T00:00:00Z",
    ],
)
def test_what_is_no_timestamp(text: str) -> None:
    assert parse_timestamp(text) is None


@settings(deadline=None)
@given(MOMENTS)
def test_dates_of_answers(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=datetime.UTC)
    assert parse_http_date(format_datetime(moment, usegmt=True)) == moment.timestamp()


@pytest.mark.parametrize("text", [None, "", "yesterday", "Sat, 31 Jan 2026 23:59 GMT", "Sat, 31 Jan 2026 23:59:59 CET"])
def test_what_is_no_date(text: str | None) -> None:
    assert parse_http_date(text) is None


def test_the_time_of_a_signature() -> None:
    assert amz_date(1440938160.9) == "20150830T123600Z"


def http_date(seconds: float) -> str:
    return format_datetime(datetime.datetime.fromtimestamp(seconds, datetime.UTC), usegmt=True)


@pytest.mark.parametrize("off_s", [-86400, -3600, 3600, 86400])
def test_a_wrong_clock_follows_the_services(off_s: int) -> None:
    clock = Clock()
    signed_at_s = clock.now_s()
    theirs_s = time.time() + off_s
    assert clock.correct(signed_at_s, http_date(theirs_s))
    assert abs(clock.now_s() - theirs_s) < 30


def test_requests_of_other_threads_that_were_signed_before_are_signed_again() -> None:
    clock = Clock()
    signed_at_s = clock.now_s()
    date = http_date(time.time() + 7200)
    assert clock.correct(signed_at_s, date)
    assert clock.correct(signed_at_s, date)
    assert not clock.correct(clock.now_s(), date)


@pytest.mark.parametrize("date", [None, "", "nonsense"])
def test_without_a_date_there_is_nothing_to_follow(date: str | None) -> None:
    assert not Clock().correct(0.0, date)


def test_a_clock_that_agrees_is_not_the_fault() -> None:
    clock = Clock()
    assert not clock.correct(clock.now_s(), http_date(time.time()))


def test_the_refusal_names_both_times() -> None:
    error = Clock().refusal(1440938160.0, "Sat, 31 Jan 2026 23:59:59 GMT")
    assert isinstance(error, EmbedderRefusedError)
    assert "2026-01-31T23:59:59Z" in str(error) and "2015-08-30T12:36:00Z" in str(error)


def test_what_the_service_says_of_the_time() -> None:
    early = "Signature expired: 20150830T123600Z is now earlier than 20150830T124500Z (20150830T125000Z - 5 min.)"
    assert is_time_refusal("InvalidSignatureException", early)
    assert is_time_refusal(
        "InvalidSignatureException:http://internal.amazon.com/", early.replace("expired", "not yet current")
    )
    assert is_time_refusal("RequestTimeTooSkewed", "")
    assert not is_time_refusal("InvalidSignatureException", "The request signature we calculated does not match")
    assert not is_time_refusal("AccessDeniedException", early)


def test_what_the_service_says_of_credentials() -> None:
    assert is_expired("ExpiredTokenException", "")
    assert is_expired("com.amazon.coral.service#ExpiredTokenException", "")
    assert is_expired("UnrecognizedClientException", "The security token included in the request is invalid.")
    assert is_expired("ForbiddenException", "The security token included in the request is expired")
    assert not is_expired("AccessDeniedException", "You don't have access to the model")
