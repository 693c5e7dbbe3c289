"""The golden inputs are texts to be laid out, not programs: pytest does not run them."""

collect_ignore_glob = ["*.saga", "*/*.saga"]
"""Scenarios are collected from all other `.saga` files."""
