"""`flyweight bench memory`: what an engine costs, measured from outside and explained from inside, beside its peers.

Data flows one way: job → configurations → measurement (a process each) → document → tables → text.

Nothing here imports the engine or its native modules: a page of a library that the measuring process maps too is
shared, and would not be counted as the measured one's.
"""
