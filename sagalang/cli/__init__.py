"""The command line: arguments, streams, exit status. Everything heavy is imported in a command."""
