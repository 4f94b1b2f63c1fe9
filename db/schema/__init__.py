"""The schema: versioned tables, re-appliable functions, and `migrate`, which brings a database up to both."""
