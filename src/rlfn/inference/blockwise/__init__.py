"""Running an RLFN block by block over small tiles with ncnn, without computing any pixel twice."""
