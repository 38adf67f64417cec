"""Real stores for models on this machine: an S3-compatible one, and an OCI registry."""

from acesniper.testbed.stores.programs import ensure_stores as ensure_stores
from acesniper.testbed.stores.servers import ObjectStore as ObjectStore
from acesniper.testbed.stores.servers import Registry as Registry
