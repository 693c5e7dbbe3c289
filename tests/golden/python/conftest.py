"""Generated tests are run where a module of their own is made (tests/compile): here, `shop` would
hide the package of that name."""

collect_ignore_glob = ["test_*.py", "app/test_*.py"]
