"""Times as AWS writes them, and a clock that follows the service's where the machine's is wrong.

Resident: `datetime`, `calendar` and `email.utils` would cost 0.3 MB and more.
"""

from __future__ import annotations

import time

from flyweight.errors import EmbedderRefusedError

# The service accepts five minutes either way; a request that was on its way for a while is no wrong clock.
TOLERATED_S = 60.0
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME_REFUSALS = ("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture")
_TIME_MESSAGES = ("Signature expired", "Signature not yet current", "Request is expired", "is not a valid date-time")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_RENEWABLE = ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidToken", "AuthFailure")


class Clock:
    """The time of day as the service sees it. Safe to use from several threads."""

    __slots__ = ("_offset_s",)

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now_s(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._offset_s

    def correct(self, signed_at_s: float, date_header: str | None) -> bool:
        """Follows the service's clock, after it refused a request for its time.

        signed_at_s: the time that was signed; date_header: the answer's Date. True when the two differ, so that it is
        worth signing again, once; another thread may have set this clock meanwhile.
        """
        service_s = parse_http_date(date_header)
        if service_s is None or abs(service_s - signed_at_s) <= TOLERATED_S:
            return False
        self._offset_s = service_s - time.time()
        return True

    def refusal(self, signed_at_s: float, date_header: str | None) -> EmbedderRefusedError:
        """The error for a service that goes on refusing a request for its time."""
        service_s = parse_http_date(date_header)
        theirs = "does not say what time it has" if service_s is None else f"has {spelled(service_s)}"
        return EmbedderRefusedError(
            f"the service refuses requests for their time: it {theirs}, the request was signed at "
            f"{spelled(signed_at_s)}, this machine's clock says {spelled(time.time())}: set the clock (NTP)"
        )


def is_time_refusal(error_type: str, message: str) -> bool:
    """Whether a service's error says that a request was signed too early or too late."""
    kind = _bare(error_type)
    if kind in _TIME_REFUSALS:
        return True
    return kind in ("InvalidSignatureException", "SignatureDoesNotMatch") and any(
        text in message for text in _TIME_MESSAGES
    )


def is_expired(error_type: str, message: str) -> bool:
    """Whether a service's error says that the credentials no longer hold, so that fresh ones may help."""
    kind = _bare(error_type)
    if kind in _EXPIRED or kind in _RENEWABLE:
        return True
    return "security token" in message and "expired" in message


def _bare(error_type: str) -> str:
    """`com.amazon#ExpiredToken:http://…` is how some services spell ExpiredToken."""
    return error_type.rpartition("#")[2].partition(":")[0]


def amz_date(now_s: float) -> str:
    """`20260131T235959Z`."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))


def parse_http_date(text: str | None) -> float | None:
    """Seconds since 1970 of `Sat, 31 Jan 2026 23:59:59 GMT` (RFC 9110, section 5.6.7); None if it is no such date."""
    words = (text or "").replace(",", " ").replace("-", " ").split()
    if len(words) != 6 or words[2].lower() not in _MONTHS or words[5] not in ("GMT", "UTC"):
        return None
    month = str(_MONTHS.index(words[2].lower()) + 1)
    return _seconds([words[3], month, words[1], *words[4].split(":")])


def parse_timestamp(text: str) -> float | None:
    """Seconds since 1970 of `2026-01-31T23:59:59Z` (ISO 8601); None if it is no such time.

    With or without a fraction, an offset (`+01:00`, `+0100`, `+01`) or its Z; without either it is UTC.
    """
    text = text.strip().upper()
    day, separator, clock = text.partition("T")
    if not separator:
        day, _, clock = text.partition(" ")
    offset_s = 0.0
    for sign in "+-":
        clock, found, offset = clock.partition(sign)
        if found:
            digits = offset.replace(":", "")
            if not digits.isascii() or not digits.isdigit() or len(digits) not in (2, 4):
                return None
            offset_s = (int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60) * (1 if sign == "+" else -1)
    clock = clock.removesuffix("Z").removesuffix("UTC").strip()
    date = day.split("-") if "-" in day else [day[:4], day[4:6], day[6:]]
    hands = clock.split(":") if ":" in clock else [clock[:2], clock[2:4], clock[4:]]
    if len(hands) == 2:
        hands.append("0")
    if len(date) != 3 or len(hands) != 3:
        return None
    whole, _, fraction = hands[2].replace(",", ".").partition(".")
    seconds = _seconds([*date, hands[0], hands[1], whole])
    if seconds is None or (fraction and not (fraction.isascii() and fraction.isdigit())):
        return None
    return seconds + float(f"0.{fraction or 0}") - offset_s


def _seconds(fields: list[str]) -> float | None:
    """Seconds since 1970 of year, month, day, hour, minute and second; None if they are no such."""
    numbers = []
    for text in fields:
        if not text.isascii() or not text.isdigit() or len(text) > 4:
            return None
        numbers.append(int(text))
    if len(numbers) != 6:
        return None
    y, m, d, hours, minutes, seconds = numbers
    if not (y >= 1 and 1 <= m <= 12 and 1 <= d <= 31 and hours <= 24 and minutes <= 59 and seconds <= 60):
        return None
    # Days since 1970 of the proleptic Gregorian calendar, counted from 1 March so that leap days come last.
    y -= m <= 2
    days = y * 365 + y // 4 - y // 100 + y // 400 + (153 * ((m + 9) % 12) + 2) // 5 + d - 719469
    return days * 86400.0 + hours * 3600 + minutes * 60 + seconds


def spelled(seconds: float) -> str:
    """`2026-01-31T23:59:59Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
