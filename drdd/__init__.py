"""Decoupled Residual Denoising Diffusion: image-to-image models from few pairs and many unpaired images."""
