"""The demo: one workload on one emulated fleet, placed by us and by the stock scheduler."""
