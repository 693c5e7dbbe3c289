"""`saga resume`: many runs at once, what is seen of them, and the summary."""
