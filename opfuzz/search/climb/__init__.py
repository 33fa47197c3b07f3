"""The worst call, searched for by what earlier calls gave."""
