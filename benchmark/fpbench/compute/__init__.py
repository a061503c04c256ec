"""The hot kernels: exact neighbours, Fréchet distances, residuals, spectra, training, devices.

Nothing is imported here, so that a kernel costs only its own imports.
"""
