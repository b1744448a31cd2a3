"""visprep: download, verify and move vision datasets."""
