"""What all tests share: readable failures in the support code, and no timing thresholds."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("cluster_contract", "asgi")
settings.register_profile("acesniper", deadline=None, max_examples=60)
settings.load_profile("acesniper")
