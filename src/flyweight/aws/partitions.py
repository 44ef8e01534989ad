"""The parts AWS is divided into, and the host names of each. Resident.

Source: the partitions of the AWS SDKs' endpoint rules, version 1.1.
"""

from __future__ import annotations

from flyweight.errors import ConfigError


class Partition:
    """name: such as "aws-cn". prefixes: what its regions begin with. suffix, dualstack_suffix: of its host names."""

    __slots__ = ("dualstack_suffix", "name", "prefixes", "suffix")

    def __init__(self, name: str, prefixes: str, suffix: str, dualstack_suffix: str) -> None:
        self.name = name
        self.prefixes = tuple(prefixes.split())
        self.suffix = suffix
        self.dualstack_suffix = dualstack_suffix


# The more special prefixes come first: us-gov-west-1 begins with us as well.
_PARTITIONS = (
    Partition("aws-us-gov", "us-gov", "amazonaws.com", "api.aws"),
    Partition("aws-iso", "us-iso", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition("aws-iso-b", "us-isob", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition("aws-iso-e", "eu-isoe", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition("aws-iso-f", "us-isof", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition("aws-eusc", "eusc-de", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition("aws-cn", "cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition("aws", "us eu ap sa ca me af il mx", "amazonaws.com", "api.aws"),
)
_DIRECTIONS = (
    "central",
    "east",
    "north",
    "northeast",
    "northwest",
    "south",
    "southeast",
    "southwest",
    "west",
)
_COMMON = (
    "us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 eu-central-1 eu-west-1 eu-west-2 eu-west-3 eu-north-1 "
    "eu-south-1 ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2 sa-east-1 us-gov-west-1 "
    "us-gov-east-1 me-central-1 af-south-1 il-central-1 mx-central-1 cn-north-1 cn-northwest-1"
)


def partition_of(region: str) -> Partition:
    """The partition of a region that checked_region has let through."""
    prefix = region.rpartition("-")[0].rpartition("-")[0]
    for partition in _PARTITIONS:
        if prefix in partition.prefixes:
            return partition
    raise ConfigError(_unknown(region))


def checked_region(region: str, *, known: bool = True) -> str:
    """`region`, if it can be one. Raises ConfigError, with the region that was probably meant.

    known: whether it must be spelled as AWS spells its regions, a continent, a direction and a number. There is no list
    of them all here: new ones work. Otherwise any name that may stand in a host name will do.
    """
    if not (region.isascii() and region.replace("-", "").isalnum() and len(region) <= 63) or region[0] == "-":
        raise ConfigError(_unknown(region))
    if known:
        rest, _, number = region.rpartition("-")
        prefix, _, direction = rest.rpartition("-")
        in_a_partition = any(prefix in partition.prefixes for partition in _PARTITIONS)
        if not (number.isdigit() and direction in _DIRECTIONS and in_a_partition):
            raise ConfigError(_unknown(region))
    return region


def _unknown(region: str) -> str:
    meant = min(_COMMON.split(), key=lambda name: _distance(region.lower().strip(), name))
    guess = f": did you mean {meant}?" if _distance(region.lower().strip(), meant) <= 3 else ", such as us-east-1"
    return f"{region!r} is no AWS region{guess} (for one that is not known here, give the endpoint URL as well)"


def _distance(one: str, other: str) -> int:
    """Letters to add, drop, change or swap with the next one to come from one to the other."""
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        beyond, above = above, row
        row = [i + 1]
        for j, wanted in enumerate(other):
            cost = min(above[j] + (letter != wanted), above[j + 1] + 1, row[j] + 1)
            if i and j and letter == other[j - 1] and one[i - 1] == wanted:
                cost = min(cost, beyond[j - 1] + 1)
            row.append(cost)
    return row[-1]
