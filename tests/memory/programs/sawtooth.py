"""No leak: a buffer that is flushed when it is full, and cycles that wait for the collector."""

import time

buffer = []


class Node:
    def __init__(self):
        self.me = self


def record(number):
    buffer.append(("event", number, f"payload {number}" * 5))
    if len(buffer) >= 500:
        buffer.clear()


def run(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for _ in range(5):
            record(number)
            Node()
            number += 1
        time.sleep(0.005)
