"""The hostile saga is drawn here, not run."""

collect_ignore_glob = ["*.saga"]
