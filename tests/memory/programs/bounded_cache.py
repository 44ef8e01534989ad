"""No leak: two caches that fill up and then evict an entry for every new one."""

import functools
import time


@functools.lru_cache(maxsize=400)
def square(number):
    return [number] * 50


pages = {}


def page(number):
    if len(pages) >= 300:
        del pages[next(iter(pages))]
    pages[number] = b"%06d" % number * 100


def run(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for _ in range(5):
            square(number)
            page(number)
            number += 1
        time.sleep(0.005)
