"""`acesniper extender`: run the scheduler extender and the planner."""

import typer


def command() -> None:
    """Run the extender. Every setting is an environment variable, ACESNIPER_<NAME>."""
    from acesniper.extender.__main__ import main

    raise typer.Exit(main())
