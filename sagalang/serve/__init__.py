"""Sagas behind an HTTP API: `application` is the ASGI app, `saga serve` runs it."""
