"""No leak: tables are loaded during the first third, then requests are served from them."""

import time

table = {}


def load(number):
    table[number] = {"name": f"row {number}", "values": list(range(30))}


def serve(number):
    row = table[number % len(table)]
    return [f"{row['name']} {value}" for value in row["values"]]


def run(seconds):
    begin = time.monotonic()
    number = 0
    while time.monotonic() < begin + seconds:
        if time.monotonic() < begin + seconds / 3:
            load(number)
        serve(number)
        number += 1
        time.sleep(0.005)
