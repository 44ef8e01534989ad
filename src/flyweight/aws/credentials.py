"""AWS credentials, and where a program keeps getting valid ones from. Resident."""

from __future__ import annotations

import _thread
import os
import time

from flyweight.aws.clock import Clock, spelled
from flyweight.errors import CredentialsError, EmbedderUnreachableError, FlyweightError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Renewed this long before they expire, or at half their time where that is shorter.
_AHEAD_S = 900.0
# Not used any more so shortly before they expire: a request has to arrive while they hold.
_MARGIN_S = 30.0
_RETRY_S = 60.0
# A failure that took a process to find out is repeated for so long without asking again.
_REMEMBER_FAILURE_S = 5.0


class Credentials:
    """Keys to sign requests with.

    token: of temporary credentials, else None. expires_at_s: seconds since 1970, None for those that do not expire.
    source: where they are from, for people to read. Neither repr nor str shows a key.
    """

    __slots__ = ("access_key", "expires_at_s", "secret_key", "source", "token")

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        token: str | None = None,
        expires_at_s: float | None = None,
        source: str = "",
    ) -> None:
        """Raises CredentialsError for keys that cannot stand in a header."""
        for name, value in (("access key", access_key), ("secret key", secret_key), ("session token", token or "-")):
            if not value:
                raise CredentialsError(f"the {name} is empty")
            if not value.isprintable() or " " in value or not (value.isascii() or name == "secret key"):
                raise CredentialsError(f"the {name} holds characters that no key has")
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token or None
        self.expires_at_s = expires_at_s
        self.source = source

    def same_keys(self, other: Credentials) -> bool:
        return (self.access_key, self.secret_key, self.token) == (other.access_key, other.secret_key, other.token)

    def __repr__(self) -> str:
        return f"Credentials(source={self.source!r}, expires_at_s={self.expires_at_s!r})"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not pickled: they would end up in a file")


class CredentialSource:
    """Finds credentials when they are first asked for, and keeps them valid.

    profile: None leaves it to AWS_PROFILE. region: where roles are assumed. ca_bundle, proxy: for what the helper
    process asks; None leaves them to its environment. looked: places the caller has looked in before, each with why it
    did not do, for the list in the error.
    Safe to use from several threads and after a fork. What takes a process is done in a thread of its own, so that no
    caller that still holds valid credentials waits for new ones.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_current",
        "_failed_until_s",
        "_failure",
        "_lock",
        "_pid",
        "_places",
        "_refresh_at_s",
    )

    def __init__(
        self,
        profile: str | None = None,
        region: str | None = None,
        *,
        clock: Clock | None = None,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        looked: tuple[str, ...] = (),
    ) -> None:
        from flyweight.aws.places import Places

        self._places = Places(profile, region, ca_bundle=ca_bundle, proxy=proxy, looked=looked)
        self._clock = clock or Clock()
        self._current: Credentials | None = None
        self._refresh_at_s = 0.0
        self._attempt: _Attempt | None = None
        self._failure: FlyweightError | None = None
        self._failed_until_s = 0.0
        self._lock = _thread.allocate_lock()
        self._pid = os.getpid()

    def get(self, timeout_s: float | None = None) -> Credentials:
        """Valid credentials; those at hand are returned while new ones are fetched ahead of their expiry.

        Raises CredentialsError, which lists every place looked in, and EmbedderUnreachableError when what hands them
        out cannot be reached or none have come within `timeout_s`: they are still being fetched then.
        """
        current = self._current
        if current is not None and self._clock.now_s() < self._refresh_at_s:
            return current
        with self._own_lock():
            current, now_s = self._current, self._clock.now_s()
            due = now_s >= self._refresh_at_s
            if current is not None and (current.expires_at_s is None or now_s < current.expires_at_s - _MARGIN_S):
                if due and self._attempt is None:
                    self._begin()
                return self._current or current
            attempt = self._attempt or self._begin()
        return attempt.wait(timeout_s)

    def renew(self, used: Credentials, timeout_s: float | None = None) -> Credentials:
        """Fresh credentials after the service has said that those `used` no longer hold.

        Of many callers that used the same, one fetches. Raises as `get` does, and CredentialsError when the place they
        came from still gives the same.
        """
        with self._own_lock():
            current = self._current
            if current is not None and not current.same_keys(used):
                return current
            attempt = self._attempt or self._begin()
        fresh = attempt.wait(timeout_s)
        if fresh.same_keys(used):
            raise CredentialsError(
                f"the service says that the credentials from {used.source or 'the environment'} are not valid or have "
                "expired, and the same are still there: put new ones in their place, or sign in again"
            )
        return fresh

    def _own_lock(self) -> _thread.LockType:
        """The lock; in the child of a fork a new one, as a thread that is not in the child may have held the old."""
        if self._pid != os.getpid():
            self._lock = _thread.allocate_lock()
            self._attempt = None
            self._pid = os.getpid()
        return self._lock

    def _begin(self) -> _Attempt:
        """Looks for credentials, in a thread if it takes long. Under the lock."""
        attempt = _Attempt()
        try:
            found = self._places.look()
            if isinstance(found, Credentials):
                self._adopt(found)
                attempt.end(found, None)
                return attempt
        except FlyweightError as error:
            self._postpone()
            attempt.end(None, error)
            return attempt
        if time.monotonic() < self._failed_until_s:
            attempt.end(None, self._failure)
            return attempt
        self._attempt = attempt
        try:
            _thread.start_new_thread(self._fetch, (attempt, found, self._lock))
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._attempt = None
            attempt.end(None, CredentialsError(f"cannot start a thread to fetch AWS credentials: {error}"))
        return attempt

    def _fetch(self, attempt: _Attempt, fetch: Callable[[], Credentials], lock: _thread.LockType) -> None:
        found: Credentials | None = None
        failure: FlyweightError | None = None
        try:
            found = fetch()
            self._check(found)
        except FlyweightError as error:
            found, failure = None, error
        except BaseException as error:
            found = None
            failure = CredentialsError(f"AWS credentials could not be fetched: {type(error).__name__}")
        with lock:
            if self._attempt is attempt:
                self._attempt = None
            if found is not None:
                self._adopt(found)
            else:
                self._failure = failure
                self._failed_until_s = time.monotonic() + _REMEMBER_FAILURE_S
                self._postpone()
        attempt.end(found, failure)

    def _check(self, found: Credentials) -> None:
        if found.expires_at_s is not None and found.expires_at_s <= self._clock.now_s():
            raise CredentialsError(
                f"the credentials from {found.source} have expired at {spelled(found.expires_at_s)}, and it is "
                f"{spelled(self._clock.now_s())} by this machine's clock: sign in again, or set the clock"
            )

    def _adopt(self, found: Credentials) -> None:
        self._check(found)
        self._current = found
        if found.expires_at_s is None:
            self._refresh_at_s = float("inf")
        else:
            now_s = self._clock.now_s()
            left_s = found.expires_at_s - now_s
            self._refresh_at_s = now_s + max(left_s - _AHEAD_S, left_s / 2, 1.0)

    def _postpone(self) -> None:
        """What is at hand may do for a while yet: does not ask again at once."""
        self._refresh_at_s = self._clock.now_s() + _RETRY_S
        if self._current is not None and self._current.expires_at_s is not None:
            self._refresh_at_s = min(self._refresh_at_s, self._current.expires_at_s - _MARGIN_S)

    def __repr__(self) -> str:
        return f"CredentialSource({self._places!r})"


class _Attempt:
    """One search for credentials, waited for by any number of threads."""

    __slots__ = ("_ended", "_failure", "_found")

    def __init__(self) -> None:
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        self._found: Credentials | None = None
        self._failure: FlyweightError | None = None

    def end(self, found: Credentials | None, failure: FlyweightError | None) -> None:
        # Without its traceback, whose frames hold this attempt.
        self._found, self._failure = found, None if failure is None else failure.with_traceback(None)
        self._ended.release()

    def wait(self, timeout_s: float | None) -> Credentials:
        if not self._ended.acquire(True, -1 if timeout_s is None else max(0.0, timeout_s)):
            raise EmbedderUnreachableError(f"AWS credentials have not been found within {timeout_s:g} s, still looking")
        self._ended.release()
        if self._failure is not None:  # of each waiting thread its own, as a traceback grows on it
            raise type(self._failure)(str(self._failure))
        assert self._found is not None
        return self._found
