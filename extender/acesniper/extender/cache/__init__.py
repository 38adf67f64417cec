"""The in-memory cluster state that plans and answers to kube-scheduler are computed from."""
