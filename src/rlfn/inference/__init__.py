"""Running a model on pictures: engines, tiling, the upscaler and batch work. Free of torch."""
