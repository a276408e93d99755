"""What is timed against what: each module here is a program of its own, told through its standard input what to do."""
