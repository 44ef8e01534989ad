"""Leak: parents and children that refer to each other, in a program that has switched the collector off."""

import gc
import time


class Node:
    def __init__(self, parent=None):
        self.parent = parent
        self.children = []


def build():
    root = Node()
    root.children.extend([Node(root), Node(root)])
    return len(root.children)


def run(seconds):
    gc.disable()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        build()
        time.sleep(0.005)
