"""Experiments in simulated time: what a retry policy does to a service, as figures and pictures."""
