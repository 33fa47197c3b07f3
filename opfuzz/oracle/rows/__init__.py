"""What runs along rows: rules of balls for scans and Fourier transforms; functions that look through windows."""
