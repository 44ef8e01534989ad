"""Signatures, held against those of botocore."""

from __future__ import annotations

import datetime
import random
import time
from urllib.parse import quote

import pytest

pytest.importorskip("botocore")
import botocore.auth
import botocore.awsrequest
import botocore.credentials

from flyweight.aws.credentials import Credentials
from flyweight.aws.signing import sign

REQUESTS = 10_000
LETTERS = "abzAZ09-._~"
ODD = " !\"$&'()*+,;=:@[]{}|^`%äß€漢😀"
BLANKS = (" ", "  ", "\t", " \t  ")
SEGMENTS = (
    "",
    ".",
    "..",
    "...",
    "model",
    "invoke",
    "amazon.titan-embed-text-v2:0",
    "amazon.titan-embed-text-v2%3A0",
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.titan",
    "%2E%2E",
    "a b",
)
NOT_SIGNED = ("User-Agent", "Connection", "Expect", "Transfer-Encoding", "X-Amzn-Trace-Id", "TE", "proxy-authorization")
METHODS = ("GET", "POST", "put", "Delete", "HEAD")


def word(draw: random.Random, longest: int = 12) -> str:
    return "".join(draw.choice(LETTERS if draw.random() < 0.7 else ODD) for _ in range(draw.randint(0, longest)))


def path(draw: random.Random) -> str:
    parts = [draw.choice(SEGMENTS) if draw.random() < 0.6 else word(draw) for _ in range(draw.randint(0, 5))]
    return "/" + "/".join(parts)


def pairs(draw: random.Random) -> list[tuple[str, str]]:
    found = [(word(draw, 5) or "k", word(draw, 8)) for _ in range(draw.randint(0, 4))]
    return found + [(name, word(draw, 3)) for name, _ in found if draw.random() < 0.3]


def headers(draw: random.Random) -> dict[str, str]:
    found = {"Content-Type": "application/json", "Accept": "*/*"} if draw.random() < 0.8 else {}
    for _ in range(draw.randint(0, 4)):
        name = "X-" + "".join(draw.choice("abcXYZ-019") for _ in range(draw.randint(1, 8)))
        value = draw.choice(BLANKS).join(word(draw, 6).strip() for _ in range(draw.randint(1, 4)))
        found[name] = draw.choice(("", " ", "\t")) + value + draw.choice(("", "  "))
        if draw.random() < 0.2:
            found[name.swapcase()] = word(draw, 4)
    if draw.random() < 0.3:
        found[draw.choice(NOT_SIGNED)] = word(draw)
    if draw.random() < 0.1:
        found["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    if draw.random() < 0.1:
        found.update({"authorization": "left over", "X-AMZ-DATE": "left over"})
    return found


def test_ten_thousand_random_requests_have_botocores_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(20260131)
    now = 0.0
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda: datetime.datetime.fromtimestamp(now, datetime.UTC)
    )
    for number in range(REQUESTS):
        now = draw.uniform(0, 4e9)
        token = (
            "token/+=" + word(draw).replace(" ", "").encode("ascii", "ignore").decode() if draw.random() < 0.5 else ""
        )
        keys = ("AKIA" + str(number), "secret/+" + word(draw).replace(" ", ""), token or None)
        region = draw.choice(("us-east-1", "eu-west-3", "us-gov-west-1", "cn-north-1"))
        service = draw.choice(("bedrock", "sts", "s3vectors"))
        host = draw.choice(("bedrock-runtime.us-east-1.amazonaws.com", "vpce-1.example", "127.0.0.1:8443", "[::1]:9"))
        method, url_path, body = draw.choice(METHODS), path(draw), draw.randbytes(draw.choice((0, 0, 1, 40, 3000)))
        asked = pairs(draw)
        sent = headers(draw) | ({"x-amz-security-token": "left over"} if token and draw.random() < 0.1 else {})

        given_apart = draw.random() < 0.5
        if given_apart:
            query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in asked)
        else:
            safe = "-_.~äß€ "
            query = "&".join(
                quote(name, safe=safe) + ("=" + quote(value, safe=safe) if value else "") for name, value in asked
            )
        url = f"https://{host}{url_path}" + (f"?{query}" if query and not given_apart else "")
        request = botocore.awsrequest.AWSRequest(
            method, url, headers=dict(sent), data=body, params=asked if given_apart else {}
        )
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(*keys), service, region).add_auth(request)

        added = sign(method, url_path, query, {**sent, "Host": host}, body, Credentials(*keys), region, service, now)
        assert added == {
            name: request.headers[name]
            for name in ("X-Amz-Date", "X-Amz-Security-Token", "Authorization")
            if name in request.headers
        }, (number, method, url, sent)


def test_without_a_session_token_none_is_sent() -> None:
    added = sign(
        "GET", "/", "", {"Host": "h"}, b"", Credentials("AKIA1", "secret"), "us-east-1", "bedrock", time.time()
    )
    assert set(added) == {"X-Amz-Date", "Authorization"}


def test_a_request_without_a_host_is_not_signed() -> None:
    with pytest.raises(ValueError, match="Host"):
        sign("GET", "/", "", {"Accept": "*/*"}, b"", Credentials("AKIA1", "secret"), "us-east-1", "bedrock", 0.0)


def test_the_worked_example_of_the_specification() -> None:
    """Documented by AWS as an example of Signature Version 4: ListUsers, on 30 August 2015."""
    added = sign(
        "GET",
        "/",
        "Action=ListUsers&Version=2010-05-08",
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": "iam.amazonaws.com"},
        b"",
        Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        "us-east-1",
        "iam",
        1440938160.0,
    )
    assert added["Authorization"].endswith("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
