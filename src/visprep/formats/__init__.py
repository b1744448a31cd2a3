"""Formats: how records are written as files, and read back. The only door between files and records."""
