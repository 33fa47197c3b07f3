"""One finding for its readers: programs that show it, and words for a tracker."""
