"""What the layers below raise, as one of the family in `errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagalang.api import errors
from sagalang.diagnostics.render import full
from sagalang.host.definitions import DefinitionError
from sagalang.interpret.run import SettlementRefusedError
from sagalang.machine.evaluate import BadValueError
from sagalang.runtime import engine
from sagalang.runtime.codec import DecodeError, EncodeError
from sagalang.runtime.earlier import EarlierRunError
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.problems import ConnectProblem
from sagalang.workspace import Loaded


def invalid(loaded: Loaded) -> errors.InvalidProgram:
    """The errors of a program that was loaded."""
    found = [each for each in loaded.diagnostics if each.is_error]
    number = "an error" if len(found) == 1 else f"{len(found)} errors"
    rendered = "\n\n".join(full(each, loaded.sources) for each in found)
    return errors.InvalidProgram(f"{loaded.program.main} has {number}", rendered)


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except (DecodeError, EncodeError, engine.EmptyIdError) as problem:
        raise errors.InvalidInput(str(problem)) from None
    except BadValueError as problem:
        raise errors.InvalidInput(f"the id of the run has no value: {problem}") from None
    except engine.OtherInputError as problem:
        raise errors.OtherInput(str(problem), "give this one an id of its own") from None
    except engine.NoSuchRunError as problem:
        raise errors.NoSuchRun(str(problem)) from None
    except SettlementRefusedError as problem:
        raise errors.NotSettled(str(problem)) from None
    except EarlierRunError as problem:
        advice = "start another id; or, if that run never ended, undo it: open(…, take_over=True)"
        raise errors.EarlierRun(str(problem), advice) from None
    except ConnectProblem as problem:
        raise errors.NotConnected(str(problem), "nothing was called") from None
    except (engine.EngineError, DefinitionError, EntryError) as problem:
        raise errors.StoreError(str(problem), getattr(problem, "advice", None) or "") from problem
