"""A folder without plugin.json."""
