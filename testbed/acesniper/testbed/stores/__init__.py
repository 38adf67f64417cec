"""Real stores for models on this machine: an S3-compatible one, and an OCI registry."""

from acesniper.testbed.programs import ensure_stores as ensure_stores
