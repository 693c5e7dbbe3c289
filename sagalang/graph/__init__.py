"""A saga as a graph: its calls in happens-before order, what undoes what, how long it may take.

Invariant: networkx is imported here only, and only by the functions that build a graph of it;
lowering and the analyses work on the program's structure, so that `saga check` stays quick.
"""

from sagalang.graph.deadline import deadline_findings
from sagalang.graph.saga_graph import Kind, Node, Participant, Role, SagaGraph, lower
from sagalang.graph.undoing import (
    Failure,
    Undo,
    UndoCall,
    UndoCase,
    UndoEach,
    UndoSequence,
    UndoTogether,
    failures,
    undo_of,
)

__all__ = [
    "Failure",
    "Kind",
    "Node",
    "Participant",
    "Role",
    "SagaGraph",
    "Undo",
    "UndoCall",
    "UndoCase",
    "UndoEach",
    "UndoSequence",
    "UndoTogether",
    "deadline_findings",
    "failures",
    "lower",
    "undo_of",
]
