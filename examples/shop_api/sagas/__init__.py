"""Compiled from examples/shop; made again by `make compiled`."""
