"""Meaning: names resolved, types known, policies merged, rules checked.

Invariant: never imports lark or networkx, and `types` and `program` are plain data, so that the
machine and compiled sagas can use them without the front end.
"""
