"""Running whole tiles on a GPU of any maker, through ncnn's Vulkan."""
