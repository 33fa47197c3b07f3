"""Every input of an elementwise function."""
