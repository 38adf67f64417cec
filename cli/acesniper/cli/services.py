"""`acesniper operator` and `acesniper extender`: run the services of a cluster."""

import typer


def operator() -> None:
    """Run the operator. Its settings are environment variables, ACESNIPER_<SETTING>."""
    from acesniper.operator.__main__ import main

    raise typer.Exit(main())


def extender() -> None:
    """Run the extender and planner. Settings are environment variables, ACESNIPER_<SETTING>."""
    from acesniper.extender.__main__ import main

    raise typer.Exit(main())
