"""Explores every failure that the contracts allow, over the same machine that runs a saga."""
