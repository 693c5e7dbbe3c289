"""Services in Python: an operation is the function of the same name in a module, or a method of an
object.

A function may be `async`, or plain: then it runs in a thread of its own. What it returns is
checked against the contract. Raising a declared error rejects; raising `NotSent` says that
nothing was done; anything else that is raised leaves the outcome unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sagalang.machine.outcomes import (
    CONTRACT_MISMATCH,
    NOT_SENT,
    UNAVAILABLE,
    Failure,
    Ok,
    Outcome,
    Rejected,
    Unknown,
)
from sagalang.machine.outcomes import NotSent as NotSentOutcome
from sagalang.runtime.codec import DecodeError, Mode, Reader, read, reader
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.problems import BindingError, NotSent
from sagalang.runtime.saga_errors import NotSent as NotSentError
from sagalang.runtime.saga_errors import SagaError

_import_lock = threading.Lock()

NO_KEY: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class _Function:
    call: Callable[..., Any]
    takes_key: bool
    is_async: bool
    read: Reader | None
    """Checks what it returns; None where nothing is answered."""


class PythonTransport:
    """Calls the functions of one module, looked for in `folder` first.

    Raises `BindingError` at once if the module cannot be imported, or a function is missing or
    takes other parameters.
    """

    def __init__(self, module: str, folder: str, contracts: Iterable[Contract]) -> None:
        loaded = _load(module, folder)
        told = f"the python module {module}"
        self._functions = {c.operation: _function(loaded, c.operation, told, c) for c in contracts}

    async def call(self, request: Request) -> Outcome:
        """Calls the function once. Raises nothing but cancellation.

        A plain function that is cancelled runs on in its thread; its result is dropped.
        """
        contract = request.contract
        function = self._functions[contract.operation]
        extra = {"key": request.key} if function.takes_key and request.key is not None else NO_KEY
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            if function.is_async:
                result = await function.call(*request.args, **extra)
            else:
                result = await _in_thread(lambda: function.call(*request.args, **extra))
                if inspect.isawaitable(result):
                    result = await result
        except (NotSent, NotSentError) as error:
            after = error.retry_after if isinstance(error, NotSent) else None
            failure = Failure(NOT_SENT, None, f"{contract.label} raised NotSent")
            return NotSentOutcome(failure, after)
        except asyncio.CancelledError:
            if task is None or task.cancelling() > cancels:
                raise
            return _failed(contract, "CancelledError")
        except (Exception, SystemExit) as error:
            return self._raised(contract, error)
        return _answer(contract, function.read, result)

    def _raised(self, contract: Contract, error: BaseException) -> Outcome:
        return _rejected(contract, error)

    async def aclose(self) -> None:
        """Nothing to close."""


class ObjectTransport(PythonTransport):
    """Calls the methods of one object: `operations` are the contracts by the methods' names.

    Raises `BindingError` at once if a method is missing, takes other parameters, or is that of a
    keyed command and takes no key: without it, a repeated call would be another one.
    """

    def __init__(self, implementation: object, operations: Mapping[str, Contract]) -> None:
        told = f"the implementation {type(implementation).__name__}"
        self._functions = {
            contract.operation: _function(implementation, name, told, contract)
            for name, contract in operations.items()
        }
        for name, contract in operations.items():
            asked = contract.promises.keyed and all(p.name != "key" for p in contract.params)
            if asked and not self._functions[contract.operation].takes_key:
                raise BindingError(
                    f"the function {name} of {told} takes no `key`, and {contract.label} is keyed:"
                    " write `*, key: str`, and do nothing twice under one key"
                )

    def _raised(self, contract: Contract, error: BaseException) -> Outcome:
        # The compiled module's own classes only: a library may have errors of the same names.
        if isinstance(error, SagaError):
            return _rejected(contract, error)
        return _failed(contract, type(error).__name__)


class OwnTransport(ObjectTransport):
    """The same for an object that knows no compiled module: what its methods raise is told by
    name, as in a Python module."""

    def _raised(self, contract: Contract, error: BaseException) -> Outcome:
        return _rejected(contract, error)


def _answer(contract: Contract, read_result: Reader | None, result: Any) -> Outcome:
    if read_result is None:
        return Ok(None)
    try:
        return Ok(read_result(result))
    except DecodeError as error:
        at = f" at {error.shape}" if error.parts else ""
        what = f"{contract.label} returned what does not fit{at}: {error.message}"
        return Unknown(Failure(CONTRACT_MISMATCH, None, what), repeat=False)


def _rejected(contract: Contract, error: BaseException) -> Outcome:
    # A compiled error may have another name in Python than in the language. Python's own errors
    # are no rejections, whatever an error of the language is called: a bug raises them, too.
    names = [
        cls.__dict__.get("__error_name__", cls.__name__)
        for cls in type(error).__mro__
        if cls.__module__ != "builtins"
    ]
    spec = next((spec for name in names for spec in contract.rejects if spec.error == name), None)
    if spec is None:
        return _failed(contract, type(error).__name__)
    value = None
    if spec.type is not None:
        try:
            value = read(error, spec.type, Mode.PYTHON)
        except DecodeError as misfit:
            at = f" at {misfit.shape}" if misfit.parts else ""
            what = f"{contract.label} raised a {spec.error} that does not fit{at}: {misfit.message}"
            return Unknown(Failure(CONTRACT_MISMATCH, None, what), repeat=False)
    return Rejected(Failure(spec.error, value, f"{contract.label} raised {spec.error}"))


def _failed(contract: Contract, name: str) -> Unknown:
    # Only the name: the text of an exception may hold a secret or an argument.
    return Unknown(Failure(UNAVAILABLE, None, f"{contract.label} raised {name}"))


async def _in_thread(work: Callable[[], Any]) -> Any:
    """The result of plain code, run in a thread of its own.

    No pool: functions that hang would use it up, and keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def report(result: Any, error: BaseException | None) -> None:
        if not done.done():
            # As a value: a future refuses to carry StopIteration.
            done.set_result((result, error))

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(work)
        except BaseException as raised:
            error = raised
        # A closed loop raises: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(report, result, error)

    threading.Thread(target=run, name="saga-python-service", daemon=True).start()
    result, error = await done
    if error is None:
        return result
    if isinstance(error, Exception):
        raise error
    raise RuntimeError(type(error).__name__)


# --- Finding the functions ---------------------------------------------------------------------


def _load(module: str, folder: str) -> ModuleType:
    """Imports the module with the folder in front of the path, only for the time of the import."""
    with _import_lock:
        _refuse_namesake(module, folder)
        path = list(sys.path)
        if folder:
            sys.path.insert(0, str(Path(folder).resolve()))
            importlib.invalidate_caches()
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(error.name + ".")):
                raise BindingError(
                    f"the python module {module} was not found: neither beside the .saga file "
                    "nor among the installed ones"
                ) from None
            raise BindingError(
                f"the python module {module} cannot be imported: it needs {error.name}, "
                "which is not installed"
            ) from error
        except (Exception, SystemExit) as error:
            raise BindingError(
                f"the python module {module} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        finally:
            if folder and sys.path != path:
                own = str(Path(folder).resolve())
                if own in sys.path:
                    sys.path.remove(own)


def _refuse_namesake(module: str, folder: str) -> None:
    """A module of this name that was imported from elsewhere must not stand in for our own."""
    top = module.split(".")[0]
    loaded = sys.modules.get(top)
    if not folder or loaded is None:
        return
    beside = Path(folder).resolve()
    ours = [p for p in (beside / f"{top}.py", beside / top) if p.exists()]
    origins = [getattr(loaded, "__file__", None), *getattr(loaded, "__path__", [])]
    from_here = any(o and Path(o).resolve().is_relative_to(beside) for o in origins)
    if ours and not from_here:
        raise BindingError(
            f"the python module {module} beside the .saga file has the name of another module "
            "that is loaded already; rename it"
        )


def _function(holder: object, name: str, told: str, contract: Contract) -> _Function:
    """The function that serves an operation; `told` is what its holder is called in messages."""
    found = getattr(holder, name, None)
    if not callable(found):
        what = "no function" if found is None else "no function, but something else, called"
        raise BindingError(f"{told} has {what} {name}, which {contract.label} needs")
    is_async = inspect.iscoroutinefunction(found)
    answer = None if contract.result is None else reader(contract.result, Mode.PYTHON)
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return _Function(found, takes_key=False, is_async=is_async, read=answer)
    args = [None] * len(contract.params)
    # A parameter of the operation that is itself called `key` is not the idempotency key.
    own = any(param.name == "key" for param in contract.params)
    takes_key = not own and _binds(signature, args, {"key": None})
    if not takes_key and not _binds(signature, args, {}):
        names = ", ".join(param.name for param in contract.params)
        raise BindingError(f"the function {name} of {told} does not take the parameters ({names})")
    if takes_key and contract.is_query and not _binds(signature, args, {}):
        raise BindingError(f"the function {name} of {told} asks for a key, but a query has none")
    return _Function(found, takes_key, is_async, answer)


def _binds(signature: inspect.Signature, args: list[Any], extra: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **extra)
    except TypeError:
        return False
    return True
