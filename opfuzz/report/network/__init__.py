"""What was found out about networks and tensors, in words and pictures."""
