"""Generated files of the chart: values schema and reference, scheduler configuration, dashboard."""
