"""The checks of `acesniper doctor`: an inventory is read once, then judged without requests."""
