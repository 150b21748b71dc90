"""The application: the command line, one run, a sweep, and a run loaded from its directory."""
