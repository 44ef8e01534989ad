"""Leak: views subscribe to a bus that outlives them, and nobody unsubscribes."""

import time


class Bus:
    def __init__(self):
        self.listeners = []

    def subscribe(self, listener):
        self.listeners.append(listener)


class View:
    def __init__(self, title):
        self.title = title

    def redraw(self, event):
        return f"{self.title}: {event}"


bus = Bus()


def open_view(number):
    view = View(f"view {number}")
    bus.subscribe(view.redraw)
    return view


def run(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        open_view(number).redraw("opened")
        number += 1
        time.sleep(0.005)
