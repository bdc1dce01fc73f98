"""pyplot without windows."""

import pytest


@pytest.fixture
def plt():
    """pyplot without windows; all figures are closed afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
