"""One driver for each thing that opfuzz does beside a campaign."""
