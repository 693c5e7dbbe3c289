"""The shop's own code: what is not a service of somebody else."""
