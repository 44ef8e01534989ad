"""The same job on other people's software.

These files run in the peers' interpreter, which need not have Flyweight; what they import is theirs, so the type
checker leaves them out.
"""
