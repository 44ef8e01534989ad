"""A certificate for a server on loopback, made by the `openssl` command for one run and trusted by nobody else."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MISSING = "there is no `openssl` command to make a certificate with"
_TIMEOUT_S = 60
# Signed by itself, so it has to say that it may sign: strict clients look.
_CONFIGURATION = """
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = localhost
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
"""


class CertificateMissing(Exception):
    """No certificate could be made; says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files; who trusts `file` trusts the server."""

    file: Path
    key_file: Path


def can_make_certificates() -> bool:
    return shutil.which("openssl") is not None


def make_certificate(directory: Path) -> Certificate:
    """For localhost and 127.0.0.1, valid for two days. Raises CertificateMissing."""
    program = shutil.which("openssl")
    if program is None:
        raise CertificateMissing(MISSING)
    configuration = directory / "openssl.cnf"
    configuration.write_text(_CONFIGURATION, encoding="ascii")
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-config", str(configuration), "-keyout", str(made.key_file), "-out", str(made.file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateMissing(f"{program} cannot make a certificate ({error})") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CertificateMissing(f"{program} cannot make a certificate ({reason})")
    return made
