"""What happens on one path: `saga render --when`."""

from sagalang.render.paths.follow import Follower, Path, path_model
from sagalang.render.paths.whens import Aborted, CallFault, NotInTime, Problem, Stopped, When, parse

__all__ = [
    "Aborted",
    "CallFault",
    "Follower",
    "NotInTime",
    "Path",
    "Problem",
    "Stopped",
    "When",
    "parse",
    "path_model",
]
