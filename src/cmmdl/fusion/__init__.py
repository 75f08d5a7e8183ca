"""The main job: any two pictures in, the fused one out; whole, in tiles, or folder by folder."""
