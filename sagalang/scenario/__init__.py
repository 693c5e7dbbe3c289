"""Runs scenarios on a simulated clock, against fakes of the services, and says what came of each."""
