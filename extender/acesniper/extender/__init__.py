"""The kube-scheduler extender, the planner that runs in its process, and the page."""
