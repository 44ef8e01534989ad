"""What signing a request with keys from the environment or the files brings into the resident."""

from __future__ import annotations

from bare_process import run_script
from shared_files import SharedFiles

USE = """
import sys
before = set(sys.modules)
from flyweight.aws.clock import Clock
from flyweight.aws.credentials import CredentialSource
from flyweight.aws.profiles import endpoint, region
from flyweight.aws.signing import sign
host = endpoint("bedrock-runtime", region())
sign("POST", "/", "", {"Host": host}, b"", CredentialSource().get(), region(), "bedrock", Clock().now_s())
print(*set(sys.modules) - before)
"""
HEAVY = {
    "botocore",
    "collections",
    "configparser",
    "contextlib",
    "datetime",
    "email",
    "enum",
    "functools",
    "json",
    "logging",
    "re",
    "shlex",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "typing",
    "urllib",
}
DIRECT = "[default]\nregion = us-east-1\naws_access_key_id = AKIA1\naws_secret_access_key = hidden\n"
PROCESS = """[default]
region = us-east-1
credential_process = echo '{"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "hidden"}'
"""


def imported() -> set[str]:
    return set(run_script(USE).split())


def test_keys_in_a_file_bring_nothing_heavy(shared_files: SharedFiles) -> None:
    shared_files.config(DIRECT)
    found = imported()
    assert "flyweight.aws.signing" in found
    assert found & HEAVY == set()


def test_a_process_that_prints_keys_brings_nothing_heavy(shared_files: SharedFiles) -> None:
    shared_files.config(PROCESS)
    found = imported()
    assert "flyweight.aws.child_process" in found
    assert found & HEAVY == set()
