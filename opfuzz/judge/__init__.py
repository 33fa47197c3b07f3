"""How far an output is from the exact result, what that means, and what explains it."""
