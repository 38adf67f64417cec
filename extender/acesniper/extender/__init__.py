"""The scheduler extender and the planner beside it."""
