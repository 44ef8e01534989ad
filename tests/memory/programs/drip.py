"""Leak: a hundred bytes ten times a second, in a program that allocates and frees many blocks meanwhile."""

import time

history = []


def note(number):
    history.append(f"{number:0100d}")


def work():
    return sum(len(text) for text in [str(value) * 10 for value in range(60)])


def run(seconds):
    begin = time.monotonic()
    noted = 0
    while time.monotonic() < begin + seconds:
        work()
        if time.monotonic() - begin > noted * 0.1:
            note(noted)
            noted += 1
        time.sleep(0.005)
