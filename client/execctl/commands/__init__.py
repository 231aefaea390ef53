"""The sub-commands, a file each: parse, call, print. Only the call imports grpc, through Connection."""
