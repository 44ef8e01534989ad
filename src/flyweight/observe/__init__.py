"""The observer: what draws, exports and watches memory from outside the process it is about.

Nothing here is ever imported by the measured process; it may import what it likes.
"""
