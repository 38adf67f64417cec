"""The command `acesniper`."""
