from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sagalang.runtime.sqlite.sealing import BadKeyError, NoKeyError, Sealing, WrongKeyError

SECRET = b"4242 4242 4242 4242"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def key() -> str:
    return Fernet.generate_key().decode()


def keyed(journal: Path, *keys: str) -> Sealing:
    return Sealing(journal, {"SAGA_SECRET_KEY": ", ".join(keys)})


def test_a_key_file_is_made_for_the_owner_alone(journal: Path) -> None:
    old = os.umask(0)
    try:
        sealed = Sealing(journal, {}).seal(SECRET)
    finally:
        os.umask(old)
    file = journal.with_name("journal.db.key")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in journal.parent.iterdir()] == [file.name]
    assert "4242" not in sealed
    assert Sealing(journal, {}).open(sealed) == SECRET


def test_of_many_who_make_the_key_file_all_have_one_key(journal: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda _: Sealing(journal, {}).seal(SECRET), range(16)))
    assert {Sealing(journal, {}).open(each) for each in sealed} == {SECRET}


def test_the_variable_comes_before_the_key_file(journal: Path) -> None:
    sealed = keyed(journal, key()).seal(SECRET)
    assert not journal.with_name("journal.db.key").exists()
    Sealing(journal, {}).seal(SECRET)
    with pytest.raises(WrongKeyError):
        Sealing(journal, {}).open(sealed)


def test_keys_are_rotated_with_two_of_them(journal: Path) -> None:
    old, new = key(), key()
    before = keyed(journal, old).seal(SECRET)
    both = keyed(journal, new, old)
    after = both.seal(SECRET)
    assert [both.open(before), both.open(after)] == [SECRET, SECRET]
    assert keyed(journal, new).open(after) == SECRET
    with pytest.raises(WrongKeyError) as caught:
        keyed(journal, new).open(before)
    assert "behind the first" in caught.value.advice


def test_without_a_key_nothing_is_opened_and_none_is_made(journal: Path) -> None:
    sealed = keyed(journal, key()).seal(SECRET)
    with pytest.raises(NoKeyError, match="no key") as caught:
        Sealing(journal, {}).open(sealed)
    assert "SAGA_SECRET_KEY" in caught.value.advice
    assert list(journal.parent.iterdir()) == []


def test_a_changed_secret_is_not_opened(journal: Path) -> None:
    sealing = keyed(journal, key())
    sealed = sealing.seal(SECRET)
    for changed in (sealed[:-8] + "AAAAAAA=", sealed[:20], "", "ä"):
        with pytest.raises(WrongKeyError):
            sealing.open(changed)


@pytest.mark.parametrize("text", ["", "secret-password", "A" * 44, "\xff" * 44])
def test_what_is_not_a_key_is_refused_and_not_repeated(journal: Path, text: str) -> None:
    file = journal.with_name("journal.db.key")
    file.touch(0o600)
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadKeyError, match="does not hold a key") as caught:
        Sealing(journal, {}).seal(SECRET)
    if text:
        assert text not in f"{caught.value} {caught.value.advice}"
        with pytest.raises(BadKeyError, match="SAGA_SECRET_KEY does not hold a key"):
            keyed(journal, key(), text).seal(SECRET)


def test_a_key_file_that_others_may_read_is_refused(journal: Path) -> None:
    sealed = Sealing(journal, {}).seal(SECRET)
    file = journal.with_name("journal.db.key")
    file.chmod(0o640)
    with pytest.raises(BadKeyError, match="other users may read the key") as caught:
        Sealing(journal, {}).open(sealed)
    assert "chmod 600" in caught.value.advice


def test_the_cipher_is_loaded_when_the_first_secret_is_sealed(journal: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sagalang.runtime.sqlite import *;"
        "from sagalang.runtime.sqlite.sealing import Sealing; found = Sealing(Path(sys.argv[1]));"
        "assert 'cryptography' not in sys.modules; found.seal(b'');"
        "assert 'cryptography' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, journal], check=True)
