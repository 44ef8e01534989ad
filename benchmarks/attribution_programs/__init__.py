"""Programs whose memory is attributed, each run in a process of its own by ``child.py``.

``run(places)`` of each does its work and returns what has to stay alive.
"""
