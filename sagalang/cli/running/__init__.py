"""`saga run`, part by part: its plan, its services, the run itself, and what is told of it."""
