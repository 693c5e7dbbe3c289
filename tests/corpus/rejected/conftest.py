"""These files have errors on purpose: `tests/test_corpus.py` checks them, pytest runs none."""

collect_ignore_glob = ["*.saga"]
