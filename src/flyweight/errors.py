"""Every error Flyweight raises on purpose, in one small hierarchy.

A message names the thing, the value and the way out, because the person who reads it has no debugger open.
"""

from __future__ import annotations


class FlyweightError(Exception):
    """Base of all errors raised by Flyweight; catching it is enough for any caller."""


class ConfigError(FlyweightError):
    """A setting or an argument has a value that cannot work."""


class PathError(FlyweightError):
    """A path that was asked for does not exist, cannot be read or is of the wrong kind."""


class IndexMissingError(FlyweightError):
    """There is no index where one was asked for."""


class IndexCorruptError(FlyweightError):
    """An index file is truncated, altered or not an index file at all."""


class IndexVersionError(FlyweightError):
    """An index was written in a format this build does not read."""


class IndexMismatchError(FlyweightError):
    """An index was built for another tree, embedder or number of dimensions than the one asked for."""


class IndexLockedError(FlyweightError):
    """Another live process is writing this index."""


class IndexWriteError(FlyweightError):
    """The index could not be written: disk full, read-only directory, quota."""


class BuildError(FlyweightError):
    """The builder stopped before it was done; what it had committed is usable."""


class EmbedderError(FlyweightError):
    """The service that embeds texts could not be used."""


class CredentialsError(EmbedderError):
    """No credentials for the embedding service were found, or those found no longer hold."""


class EmbedderRefusedError(EmbedderError):
    """The service, or the way to it, refuses for good: access denied, unknown model or region, a certificate that does
    not verify. Asking again does not help."""


class EmbedderUnreachableError(EmbedderError):
    """The service does not answer, or not in time: network, overload, an outage. Asking again later may help."""


class StoreError(FlyweightError):
    """The place an index is kept cannot be used: unreachable, of a foreign schema, or its process has died."""


class StoreUnreachableError(StoreError):
    """Object storage does not let us in: there is no such bucket, no access, no network, no answer."""


class StoreConflictError(StoreError):
    """Another writer changed the store at the same time, and went on doing so."""


class TrackingError(FlyweightError):
    """Memory cannot be recorded here, is being recorded already, or is not being recorded at all."""


class BudgetExceeded(TrackingError):
    """Tracked memory is over a budget that was set with on_exceed="raise".

    component: whose budget, None for that of the whole process; used_bytes, limit_bytes. It is no MemoryError: no
    allocation has failed, and who handles that one means the operation it wraps.
    """

    def __init__(self, message: str, component: str | None = None, used_bytes: int = 0, limit_bytes: int = 0) -> None:
        super().__init__(message)
        self.component = component
        self.used_bytes = used_bytes
        self.limit_bytes = limit_bytes


class BudgetWarning(RuntimeWarning):
    """Tracked memory is over a budget. Not a ResourceWarning: Python keeps those to itself unless asked."""


def error_named(class_name: str, message: str, otherwise: type[FlyweightError] = BuildError) -> FlyweightError:
    """The error that another process raised, from the name of its class; `otherwise` where no class of ours has it.

    >>> error_named("PathError", "no such directory")
    PathError('no such directory')
    """
    kind = globals().get(class_name)
    return kind(message) if isinstance(kind, type) and issubclass(kind, FlyweightError) else otherwise(message)
