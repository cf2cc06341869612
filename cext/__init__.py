"""The fast path: Cython only, no policy, imports nobody outside itself."""
