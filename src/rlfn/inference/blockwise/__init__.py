"""Running an RLFN block by block over small tiles, so that no pixel is computed twice; on ncnn."""
