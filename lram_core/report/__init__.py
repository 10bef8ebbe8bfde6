"""The look of every report: one template, one style of figures, one way to print a table."""
