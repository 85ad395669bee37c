"""The chart: values, rendering, installation and removal."""
