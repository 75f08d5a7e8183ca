"""Networks and baselines. Every one is called ``model(ir, vis)`` on ``(B, 1, H, W)`` floats in [0, 1]."""
