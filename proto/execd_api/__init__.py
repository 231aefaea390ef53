"""The contract between execd and its clients; everything under `v1` and `pprof` but the .proto files is generated."""
