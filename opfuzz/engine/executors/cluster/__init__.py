"""Work on a Dask cluster, whose workers have isolated processes of their own."""
