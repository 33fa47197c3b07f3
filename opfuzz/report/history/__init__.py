"""How errors went from run to run."""
