"""`acesniper operator`: run the operator."""

import typer


def command() -> None:
    """Run the operator. Every setting is an environment variable, ACESNIPER_<NAME>."""
    from acesniper.operator.__main__ import main

    raise typer.Exit(main())
