"""What lies on a disk, in and out: pictures, their levels and colours, pairs of folders, files written whole."""
