"""Rules of balls for what runs along a row: scans, and Fourier transforms."""
