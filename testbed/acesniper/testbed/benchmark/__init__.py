"""A simulated cluster's tasks on a real control plane: ours, its oracle, the stock scheduler."""
