"""What every test leaves behind must not reach the next one."""
import gc
import logging
import os
import sys

import pytest
from hypothesis import settings

# One draw of examples for everybody: a change fails for what it changes, not by the luck of the
# day. `pytest --hypothesis-profile=default` draws new ones.
settings.register_profile('fixed', derandomize=True, deadline=None)
settings.load_profile('fixed')

# Short waits of threads (glipkit.common.waiting), before torch is imported: tests often run beside
# other processes.
os.environ.setdefault('GOMP_SPINCOUNT', '1000')

# No test asks the network: a name without weights on this machine is answered at once, also in
# processes that a test starts. Before the hub library is imported, which reads it then.
os.environ['HF_HUB_OFFLINE'] = '1'


@pytest.fixture(scope='session', autouse=True)
def no_kept_weights(tmp_path_factory):
    """Tests neither find nor leave weights in the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GLIPKIT_HOME', str(tmp_path_factory.mktemp('weights') / 'none'))
        yield


@pytest.fixture(scope='module', autouse=True)
def few_objects_to_collect():
    """Keep the objects of libraries out of collections.

    mmengine collects garbage for every data set that it serialises. With all of torch and mmdet to
    look through that takes longer than most tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def forget_runs():
    """Forget mmengine's global loggers, scopes and message hubs of runs made in this process."""
    yield
    if 'mmengine.runner' not in sys.modules:
        return
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    for name in MMLogger._instance_dict:
        for handler in list(logging.getLogger(name).handlers):
            handler.close()
    for manager in (MMLogger, MessageHub, DefaultScope, Visualizer):
        manager._instance_dict.clear()


@pytest.fixture
def two_threads():
    """PyTorch computes in two threads, on any machine."""
    import torch  # not before the variables above
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
