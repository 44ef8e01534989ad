"""No leak: buffers that are lent and taken back, made when none is free."""

import random
import time

free = []
lent = []


def lend():
    lent.append(free.pop() if free else bytearray(4000))


def take_back():
    free.append(lent.pop(0))


def run(seconds):
    dice = random.Random(5)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wanted = dice.randrange(60)
        while len(lent) < wanted:
            lend()
        while len(lent) > wanted:
            take_back()
        time.sleep(0.005)
