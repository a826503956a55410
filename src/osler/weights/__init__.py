"""The store of model weights: pinned by SHA-256, pulled from where the lock file says, verified, located."""
