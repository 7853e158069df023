"""Kernel matrices as jobs: computed block by block into a store, by any number of workers, whatever happens to them.

    job = ntc.jobs.create(program, x, store="k.zarr")
    job.run()                                           # in this process; the same lines go on after an interruption
    kernel = job.kernel("ntk")                          # np.asarray(kernel), kernel.leading(), kernel.dask()

Needs zarr and fsspec: pip install "neural-tangent-compiler[jobs]".
"""

from ntc.jobs.blocks import Blocks
from ntc.jobs.create import create, load
from ntc.jobs.engines import Beam, Dask, Engine, InProcess, Ray, Slurm, dask_client
from ntc.jobs.kernel import StoredKernel
from ntc.jobs.run import Job, JobError
from ntc.jobs.work import Done, work

__all__ = [
    "Beam",
    "Blocks",
    "Dask",
    "Done",
    "Engine",
    "InProcess",
    "Job",
    "JobError",
    "Ray",
    "Slurm",
    "StoredKernel",
    "create",
    "dask_client",
    "load",
    "work",
]
