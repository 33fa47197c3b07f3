"""Looking for the worst input."""
