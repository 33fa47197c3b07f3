"""Commands about whole networks: what they compute, where they differ, and why."""
