"""What a run found, in a terminal, as HTML, Markdown and JUnit."""
