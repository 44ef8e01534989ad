"""Runs modules of CPython's own tests and writes how each test ended: `cpython_tests.py OUTCOMES.json MODULE...`."""

from __future__ import annotations

import importlib
import json
import sys
import unittest
import warnings


class Outcomes(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self.found.setdefault(test.id(), "ok")

    def addError(self, test: unittest.TestCase, error: object) -> None:
        self.found[test.id()] = "error"
        print(test.id(), self._exc_info_to_string(error, test), file=sys.stderr)  # type: ignore[attr-defined]

    def addFailure(self, test: unittest.TestCase, error: object) -> None:
        self.found[test.id()] = "failure"
        print(test.id(), self._exc_info_to_string(error, test), file=sys.stderr)  # type: ignore[attr-defined]

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, error: object) -> None:
        if error is not None:
            self.addFailure(test, error)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.found[test.id()] = f"skipped: {reason}"

    def addExpectedFailure(self, test: unittest.TestCase, error: object) -> None:
        self.found[test.id()] = "expected failure"


def run_deep(suite: unittest.TestSuite, outcomes: Outcomes, frames: int = 20) -> None:
    """Under as many frames as CPython's own runner has: tracemalloc's tests want a traceback of some length."""
    if frames > 0:
        run_deep(suite, outcomes, frames - 1)
    else:
        suite.run(outcomes)


def main() -> None:
    outcomes = Outcomes()
    warnings.simplefilter("ignore")
    for name in sys.argv[2:]:
        try:
            suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
        except unittest.SkipTest as reason:
            outcomes.found[name] = f"skipped: {reason}"
            continue
        run_deep(suite, outcomes)
    with open(sys.argv[1], "w") as file:
        json.dump(outcomes.found, file)


if __name__ == "__main__":
    main()
