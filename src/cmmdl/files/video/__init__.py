"""Moving pictures: files, cameras, network streams, numbered pictures and pipes, in and out."""
