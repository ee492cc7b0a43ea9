"""Pictures: reading and writing files, colour, and MATLAB's bicubic resize. Free of torch."""
