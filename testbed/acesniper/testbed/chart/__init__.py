"""What is generated for the chart: the schema and the table of its values, the scheduler's file."""
