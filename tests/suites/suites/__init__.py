"""The suites, how they are run, and what is kept of it."""
