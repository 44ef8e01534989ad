"""Leak: every answer is kept under a key that never comes again."""

import time

answers = {}


def remember(number):
    answers[f"request {number}"] = [number, str(number) * 20]


def run(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for _ in range(5):
            remember(number)
            number += 1
        time.sleep(0.005)
