"""What happens on one path: `saga render --when`.

`whens` are the things that go wrong, `reading` reads them, `faults` knows what of it is still to
come. `walk` goes through the saga, `simple_statements` does what stands in no block, `compensating`
undoes a step. A call that a fault may strike is made by `caller`, acted out with the real call
machine by `call_history`, and drawn by `exchange`. `follow` makes the picture of it all.
"""

from sagalang.render.paths.follow import Follower, Path, path_model
from sagalang.render.paths.reading import parse
from sagalang.render.paths.whens import Problem

__all__ = ["Follower", "Path", "Problem", "parse", "path_model"]
