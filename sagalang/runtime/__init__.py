"""What running sagas and compiled sagas stand on: transports, clocks, engines.

Invariant: importable without lark, jinja2 and networkx.
"""

from sagalang.runtime.problems import NotSent

__all__ = ["NotSent"]
