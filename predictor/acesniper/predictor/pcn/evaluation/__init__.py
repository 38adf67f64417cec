"""Accuracy of PCN on families and devices that were hidden from training."""
