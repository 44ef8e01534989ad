"""Benchmarks: each figure Flyweight promises, measured beside the peers that people use today."""
