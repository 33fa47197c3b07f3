"""What a model of a framework computes, seen call by call as ops of the specs, and the same run again with changes."""
