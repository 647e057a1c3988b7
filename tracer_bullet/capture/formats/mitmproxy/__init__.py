"""mitmproxy's dumps (mitmproxy/io: tnetstrings, one dictionary a flow), since version 0.11, read and written."""
