"""`simplelm ARGUMENTS` with FSDP 2 on CPUs: accelerate switches FSDP on for accelerators only, so its switch is set by hand; all else is the same code."""
import sys

from accelerate import FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType

from simplelm.cli import main

from simplelm.models import training

make = training.make_accelerator


def sharded(*arguments):
    accelerator = make(*arguments)
    accelerator.state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False)
    assert accelerator.is_fsdp2
    return accelerator


training.make_accelerator = sharded
sys.exit(main())
