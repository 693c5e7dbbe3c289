"""Secrets at rest: what a saga declares as `secret` is encrypted before it is written.

    sealing = Sealing(journal)           # no key is looked for before one is needed
    text = sealing.seal(b"4242...")
    secret = sealing.open(text)

The cipher is Fernet (AES-128-CBC with HMAC-SHA256). The key comes from SAGA_SECRET_KEY, else from
the key file beside the journal (`journal.db.key`, mode 0600), which is made when the first secret
is sealed. A copy of the journal is of use to nobody without the key, and a lost key cannot be
replaced: keep the key apart from the journal, and keep it as long as the journal.

Rotation: SAGA_SECRET_KEY takes several keys with commas between them. The first seals, all open:
`SAGA_SECRET_KEY=new,old` until the last run that was sealed with `old` is pruned. From a key file
to the variable: put the text of the file behind the comma.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagalang.runtime.sqlite.errors import ReadOnlyError, StoreError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

VARIABLE: Final = "SAGA_SECRET_KEY"
_HOW_TO_MAKE: Final = (
    "a key is made by: python -c 'from cryptography.fernet import Fernet; "
    "print(Fernet.generate_key().decode())'"
)


class SealingError(StoreError):
    """A secret cannot be sealed or opened. No message holds a key or a secret."""


class NoKeyError(SealingError):
    """There is a sealed secret, and no key."""


class BadKeyError(SealingError):
    """What should be a key is none, or others may read it."""


class NoCipherError(SealingError):
    """The package that encrypts is not installed."""


class WrongKeyError(SealingError):
    """None of the keys opens a secret: it was sealed with another, or it was changed."""


class Sealing:
    """Seals and opens the secrets of one journal. `environment`: of the process. The keys are
    looked up once, at the first secret."""

    def __init__(self, journal: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._key_file = Path(f"{os.path.realpath(journal)}.key")
        self._environment = environment
        self._keys: MultiFernet | None = None

    def seal(self, secret: bytes) -> str:
        """Two sealings of the same secret differ. Makes the key file if there is no key.
        Raises `BadKeyError`, `ReadOnlyError`, `NoCipherError`."""
        if self._keys is None:
            self._keys = _cipher(self._texts() or _make(self._key_file))
        return self._keys.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes:
        """Raises `NoKeyError`, `BadKeyError`, `WrongKeyError`, `NoCipherError`."""
        if self._keys is None:
            texts = self._texts()
            if not texts:
                raise NoKeyError(
                    "the journal holds secrets, and there is no key to open them",
                    f"set {VARIABLE} to the key that they were sealed with, "
                    f"or put the key file back: {self._key_file}",
                )
            self._keys = _cipher(texts)
        try:
            return self._keys.decrypt(sealed.encode())
        except _fernet().InvalidToken:
            raise WrongKeyError(
                "a secret of the journal cannot be opened with this key",
                f"{VARIABLE} takes several keys with commas between them: add the one that it was "
                "sealed with behind the first",
            ) from None

    def _texts(self) -> list[tuple[str, str]]:
        """Each key, and where it stands; none if there is none."""
        given = self._environment.get(VARIABLE, "")
        if given.strip():
            return [(VARIABLE, key.strip()) for key in given.split(",")]
        try:
            return [(str(self._key_file), _read(self._key_file))]
        except FileNotFoundError:
            return []


def _cipher(texts: list[tuple[str, str]]) -> MultiFernet:
    fernet = _fernet()
    keys = []
    for place, text in texts:
        try:
            keys.append(fernet.Fernet(text))
        except ValueError:
            raise BadKeyError(f"{place} does not hold a key", _HOW_TO_MAKE) from None
    made: MultiFernet = fernet.MultiFernet(keys)
    return made


def _fernet() -> Any:
    # Takes 30 ms, and most sagas have no secret.
    try:
        from cryptography import fernet
    except ImportError:
        raise NoCipherError(
            "the saga has secrets, which are kept encrypted, and `cryptography` is not installed",
            "pip install cryptography; or keep nothing: --db :memory:",
        ) from None
    return fernet


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & (
                stat.S_IRWXG | stat.S_IRWXO
            ):
                raise BadKeyError(
                    f"other users may read the key in {path}",
                    f"chmod 600 {path}; if others could have read it, rotate to a new key",
                )
            return file.read(4096).decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadKeyError(
            f"the key file {path} cannot be read: {error.strerror}",
            "give yourself, and nobody else, the right to read it",
        ) from None


def _make(path: Path) -> list[tuple[str, str]]:
    """A new key in a file. If another process makes one at the same time, its key."""
    fernet = _fernet()
    try:
        # It gets its name when all of it is on the disk; mkstemp makes it with mode 0600.
        descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(fernet.Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
        _sync_folder(path.parent)
    except OSError as error:
        raise ReadOnlyError(
            f"the key file {path} cannot be made: {error.strerror}",
            f"give yourself the right to write its folder, or set {VARIABLE}; {_HOW_TO_MAKE}",
        ) from None
    return [(str(path), _read(path))]


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
