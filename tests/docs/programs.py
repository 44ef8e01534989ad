"""Commands of the pages that would leave the machine, as scripts that stand in for them."""

from __future__ import annotations

import sys

# Knows whether the package has the extras that it is asked for, and installs nothing.
PIP = f"""exec {sys.executable} -P - "$@" <<'END'
import re, sys
from importlib.metadata import metadata
known = metadata("flyweight").get_all("Provides-Extra")
assert sys.argv[1] == "install", sys.argv
for requirement in sys.argv[2:]:
    name, extras = re.fullmatch(r"(\\w+)(?:\\[([\\w,-]+)\\])?", requirement).groups()
    assert name == "flyweight", name
    for extra in extras.split(","):
        assert extra in known, extra
END
"""

# The one command of the AWS command line that the pages need.
AWS = f"""exec {sys.executable} -P - "$@" <<'END'
import os, sys
from urllib.request import ProxyHandler, Request, build_opener
assert sys.argv[1:3] == ["s3", "mb"], sys.argv
bucket = sys.argv[3].removeprefix("s3://")
url = f"{{os.environ['AWS_ENDPOINT_URL_S3']}}/{{bucket}}"
with build_opener(ProxyHandler({{}})).open(Request(url, b"", method="PUT")) as answer:
    answer.read()
print(f"make_bucket: {{bucket}}")
END
"""
