"""The bytes of an archive: frames, the table of them, and finding them again in a file. docs/archive.md."""
