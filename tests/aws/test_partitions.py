"""Host names, held against botocore's endpoint rules."""

from __future__ import annotations

import pytest

pytest.importorskip("botocore")
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import Loader
from shared_files import SharedFiles

from flyweight.aws.partitions import checked_region
from flyweight.aws.profiles import endpoint
from flyweight.errors import ConfigError

PARTITIONS = Loader().load_data("partitions")
REGIONS = [
    name for partition in PARTITIONS["partitions"] for name in partition["regions"] if not name.endswith("-global")
]


@pytest.mark.parametrize(("fips", "dualstack"), [(False, False), (True, False), (False, True), (True, True)])
def test_every_region_of_every_partition(shared_files: SharedFiles, fips: bool, dualstack: bool) -> None:
    rules = EndpointProvider(Loader().load_service_model("bedrock-runtime", "endpoint-rule-set-1"), PARTITIONS)
    for region in REGIONS:
        theirs = rules.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dualstack).url
        assert endpoint("bedrock-runtime", region, fips, dualstack) == theirs


@pytest.mark.parametrize("region", ["us-east-9", "ap-southeast-17", "us-gov-central-1", "mx-north-2"])
def test_a_region_to_come_is_taken(region: str) -> None:
    assert checked_region(region) == region


@pytest.mark.parametrize(
    ("region", "meant"),
    [
        ("us-eats-1", "us-east-1"),
        ("us-east1", "us-east-1"),
        ("useast-1", "us-east-1"),
        ("eu-cental-1", "eu-central-1"),
        ("US-WEST-2", "us-west-2"),
        ("us-west-2a", "us-west-2"),
        ("eu-west_1", "eu-west-1"),
        (" us-east-1", "us-east-1"),
        ("up-south-1", "ap-south-1"),
    ],
)
def test_a_mistyped_region_is_told_what_was_meant(region: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"{region!r} is no AWS region: did you mean {meant}?"):
        checked_region(region)


@pytest.mark.parametrize("region", ["moon", "xx-nowhere-1", "evil.example/", "us-east-1.evil.example", "-", ""])
def test_what_is_no_region(region: str) -> None:
    with pytest.raises(ConfigError, match="no AWS region"):
        checked_region(region)


def test_with_an_endpoint_of_ones_own_any_name_will_do(shared_files: SharedFiles) -> None:
    assert endpoint("bedrock-runtime", "local", override="http://127.0.0.1:1") == "http://127.0.0.1:1"
    with pytest.raises(ConfigError, match="no AWS region"):
        endpoint("bedrock-runtime", "a/b", override="http://127.0.0.1:1")
