"""Who runs what, where: campaigns, drivers, triage, and the executors that carry them."""
