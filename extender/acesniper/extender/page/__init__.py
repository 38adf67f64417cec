"""The page: a read-only view of the fleet, the plan and the tasks in a browser."""
