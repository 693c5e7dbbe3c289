"""Durable runs: a process that owns a journal file and runs what stands in it."""
