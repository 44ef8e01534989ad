"""Leak: memory of a C library that is never given back, among some that is."""

import ctypes
import time


def lose(libc):
    libc.malloc(700)


def borrow(libc):
    libc.free(libc.malloc(900))


def run(seconds):
    # Found here and not above: a function that was looked up before recording began is not seen to allocate.
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lose(libc)
        borrow(libc)
        time.sleep(0.005)
