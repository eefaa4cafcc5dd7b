"""`python -m nbplat.ui.kernel -f connection.json`: what the kernelspec starts."""

from __future__ import annotations

from ipykernel.kernelapp import IPKernelApp

from nbplat.ui.kernel.spark_kernel import SparkKernel

if __name__ == "__main__":
    launch = IPKernelApp.launch_instance
    launch(kernel_class=SparkKernel)
