"""`nbplat doctor`: what this machine, the folder and the service lack, each with its mend."""
