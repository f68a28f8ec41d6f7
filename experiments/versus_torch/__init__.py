"""The same GANs, trained by gan_jax and by PyTorch in turn, in seconds a step."""
