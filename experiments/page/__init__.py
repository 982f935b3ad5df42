"""Files of results: figures, tables and the report page."""
