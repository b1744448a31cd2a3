"""One self-contained page of HTML that shows a dataset, or what differs between two."""
