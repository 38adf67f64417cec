"""What runs on a device: the probe suite that measures it, and the runner of models."""
