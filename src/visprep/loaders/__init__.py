"""Training straight from S3: datasets for PyTorch whose images stay where they are."""
